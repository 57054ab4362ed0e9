/* A client for a lab PC's server: one request, one reply, in one file to be copied.
 *
 * C99 with POSIX or Windows sockets. Replace main() by your program:
 *
 *     char reply[4096], text[1024];
 *
 *     switch (send_data("192.168.1.20", 65432, 2.0, "set_frequency",
 *                       "\"channel\": 0, \"frequency\": 80e6", reply, sizeof reply)) {
 *     case SERVER_SUCCESS:
 *         json_member(reply, "result", text, sizeof text);
 *         break;
 *     case SERVER_FAIL:
 *         json_member(reply, "error", text, sizeof text);
 *         break;
 *     case FAIL_CONNECT:
 *     case NO_REPLY:
 *         puts(reply);
 *     }
 *
 * docs/protocol.md describes what is sent and received.
 */

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32 /* link with ws2_32 */
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
typedef int SOCKET;
#define INVALID_SOCKET (-1)
#define closesocket close
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum outcome {
    SERVER_SUCCESS, /* executed: the reply is a JSON object with "result" */
    SERVER_FAIL,    /* the server said no: a JSON object with "code", "error", perhaps "where" */
    FAIL_CONNECT,   /* nothing was sent, so nothing was executed: a sentence says why */
    NO_REPLY        /* sent, and perhaps executed: a sentence says what went wrong */
};

/* --- JSON -------------------------------------------------------------------------------- */

static const char *skip_space(const char *text)
{
    return text + strspn(text, " \t\r\n");
}

/* What follows a string; NULL where it does not end. */
static const char *skip_string(const char *text)
{
    for (text++; *text != '"'; text++)
        if (*text == '\0' || (*text == '\\' && *++text == '\0'))
            return NULL;
    return text + 1;
}

/* What follows a value; NULL where it does not end. */
static const char *skip_value(const char *text)
{
    int depth = 0;

    do {
        switch (*text) {
        case '\0':
            return NULL;
        case '"':
            if ((text = skip_string(text)) == NULL)
                return NULL;
            break;
        case '{':
        case '[':
            depth++;
            text++;
            break;
        case '}':
        case ']':
            depth--;
            text++;
            break;
        default:
            text += depth > 0 ? 1 : strcspn(text, ",}] \t\r\n");
        }
    } while (depth > 0);
    return depth == 0 ? text : NULL;
}

/* The value of an object's member; NULL where it has none of that name. */
static const char *find_member(const char *object, const char *name)
{
    size_t length = strlen(name);
    const char *at = skip_space(object);

    if (*at != '{')
        return NULL;
    do {
        const char *key = skip_space(at + 1);
        if (*key != '"' || (at = skip_string(key)) == NULL)
            return NULL;
        int is_it = (size_t)(at - key) == length + 2 && memcmp(key + 1, name, length) == 0;
        at = skip_space(at);
        if (*at != ':')
            return NULL;
        at = skip_space(at + 1);
        if (is_it)
            return at;
        if ((at = skip_value(at)) == NULL)
            return NULL;
        at = skip_space(at);
    } while (*at == ',');
    return NULL;
}

/* The character behind a backslash; moves on behind it. The server writes \u for control
 * characters alone, and everything else as it is, in UTF-8. */
static char unescape(const char **at)
{
    char c = *(*at)++;
    unsigned code;

    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u':
        if (sscanf(*at, "%4x", &code) == 1 && code < 0x80) {
            *at += 4;
            return (char)code;
        }
    }
    return c;
}

/* Write an object's member into text: a string without its quotes and escapes, anything else as it
 * stands in JSON. Returns its length, or -1 where there is none. As with snprintf, a length of size
 * or more means that text has only its beginning. An object is asked in its turn:
 *
 *     json_member(reply, "result", result, sizeof result);
 *     json_member(result, "frequency", text, sizeof text);
 *     frequency = strtod(text, NULL);
 */
int json_member(const char *object, const char *name, char *text, size_t size)
{
    const char *at = find_member(object, name), *end;
    size_t length = 0;
    int is_string;

    if (at == NULL || (end = skip_value(at)) == NULL)
        return -1;
    is_string = *at == '"';
    if (is_string) {
        at++;
        end--;
    }
    while (at < end) {
        char c = *at++;
        if (is_string && c == '\\')
            c = unescape(&at);
        if (length + 1 < size)
            text[length] = c;
        length++;
    }
    if (size > 0)
        text[length < size ? length : size - 1] = '\0';
    return length > INT_MAX ? INT_MAX : (int)length;
}

/* --- time and sockets -------------------------------------------------------------------- */

/* Seconds of a clock that nobody sets. */
static double now(void)
{
#ifdef _WIN32
    return GetTickCount64() / 1e3;
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
#endif
}

static int last_error(void)
{
#ifdef _WIN32
    return WSAGetLastError();
#else
    return errno;
#endif
}

static int is_in_progress(int error)
{
#ifdef _WIN32
    return error == WSAEWOULDBLOCK;
#else
    return error == EINPROGRESS || error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
#endif
}

static void describe_error(int error, char *text, size_t size)
{
#ifdef _WIN32
    if (!FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL,
                        (DWORD)error, 0, text, (DWORD)size, NULL))
        snprintf(text, size, "error %d of Windows", error);
    text[strcspn(text, "\r\n")] = '\0';
#else
    snprintf(text, size, "%s", strerror(error));
#endif
}

static void set_nonblocking(SOCKET s)
{
#ifdef _WIN32
    u_long on = 1;
    ioctlsocket(s, FIONBIO, &on);
#else
    fcntl(s, F_SETFL, fcntl(s, F_GETFL) | O_NONBLOCK);
#endif
}

enum { READABLE = 1, WRITABLE = 2 };

/* Wait until a socket is readable or, where that is asked for, writable; 0 when the time is up. */
static int wait_for(SOCKET s, int events, double deadline)
{
    for (;;) {
        double left = deadline - now();
        int ready = 0;
        if (left < 0)
            left = 0;
#ifdef _WIN32 /* not WSAPoll, which older versions do not tell of a connection that failed */
        fd_set reads, writes, failures;
        struct timeval limit = {(long)left, (long)((left - (long)left) * 1e6)};
        FD_ZERO(&reads);
        FD_ZERO(&writes);
        FD_ZERO(&failures);
        FD_SET(s, &reads);
        FD_SET(s, &failures);
        if (events & WRITABLE)
            FD_SET(s, &writes);
        if (select(0, &reads, &writes, &failures, &limit) > 0)
            ready = (FD_ISSET(s, &reads) ? READABLE : 0) | (FD_ISSET(s, &writes) ? WRITABLE : 0) |
                    (FD_ISSET(s, &failures) ? events : 0);
#else
        struct pollfd one = {s, (short)(POLLIN | (events & WRITABLE ? POLLOUT : 0)), 0};
        if (poll(&one, 1, (int)(left * 1e3 + 0.999)) > 0)
            ready = (one.revents & ~POLLOUT ? READABLE : 0) | (one.revents & ~POLLIN ? WRITABLE : 0);
#endif
        if (ready & events || left == 0)
            return ready & events;
    }
}

/* Whether the end of a connection is a reset, also when this program dies. A reset says that nobody
 * waits any more: the server does not start a command that waits for its turn. */
static void end_with(SOCKET s, int reset)
{
    struct linger linger;
    linger.l_onoff = reset != 0;
    linger.l_linger = 0;
    setsockopt(s, SOL_SOCKET, SO_LINGER, (void *)&linger, sizeof linger);
}

/* A connection, or INVALID_SOCKET and a sentence. */
static SOCKET connect_to(const char *host, int port, double timeout, double deadline, char *sentence,
                         size_t size)
{
    struct addrinfo hints, *address;
    char service[12], why[256];
    int error = 0, on = 1;
    socklen_t length = sizeof error;
    SOCKET s;

    /* Looking up a name may take a minute, and cannot be given a limit. */
    memset(&hints, 0, sizeof hints);
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    snprintf(service, sizeof service, "%d", port);
    if (port < 1 || port > 65535 || getaddrinfo(host, service, &hints, &address) != 0) {
        snprintf(sentence, size,
                 "expected a numeric address such as 192.168.1.20 and a port from 1 to 65535, got "
                 "'%s' and %d",
                 host, port);
        return INVALID_SOCKET;
    }
    s = socket(address->ai_family, SOCK_STREAM, 0);
    if (s == INVALID_SOCKET) {
        error = last_error();
    } else {
        set_nonblocking(s);
        if (connect(s, address->ai_addr, (socklen_t)address->ai_addrlen) != 0) {
            error = last_error();
            if (is_in_progress(error)) {
                if (wait_for(s, WRITABLE, deadline))
                    getsockopt(s, SOL_SOCKET, SO_ERROR, (void *)&error, &length);
                else
                    error = -1;
            }
        }
    }
    freeaddrinfo(address);
    if (error == 0) {
        /* The last piece of a long request does not wait for the acknowledgement of the others. */
        setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (void *)&on, sizeof on);
#ifdef SO_NOSIGPIPE
        setsockopt(s, SOL_SOCKET, SO_NOSIGPIPE, (void *)&on, sizeof on);
#endif
        end_with(s, 1);
        return s;
    }
    if (error == -1)
        snprintf(why, sizeof why, "no answer within %g s", timeout);
    else
        describe_error(error, why, sizeof why);
    snprintf(sentence, size,
             "could not connect to %s:%d: %s; check that the server is running, that host and port "
             "are right, and that no firewall is in the way",
             host, port, why);
    if (s != INVALID_SOCKET)
        closesocket(s);
    return INVALID_SOCKET;
}

/* --- the exchange ------------------------------------------------------------------------ */

/* The request as it is sent, to be freed; NULL without memory. */
static char *request_of(const char *command_id, const char *parameters, double left)
{
    /* The server's own answer "timeout" is to come before this client gives up. */
    long server_ms = left < 0 ? 0 : (long)((left - (left < 1 ? 0.1 * left : 0.1)) * 1e3);
    size_t size = strlen(command_id) + strlen(parameters) + 100;
    char *request = (char *)malloc(size);

    if (request != NULL) /* no %g: in some languages its decimal point is a comma */
        snprintf(request, size, "{\"command_id\": \"%s\"%s%s, \"link\": {\"timeout\": %ld.%03ld}}",
                 command_id, *parameters == '\0' ? "" : ", ", parameters, server_ms / 1000,
                 server_ms % 1000);
    return request;
}

/* Send a request; whether the server took all of it, or answered or closed before. */
static int send_request(SOCKET s, const char *request, double deadline)
{
    size_t left = strlen(request);

    while (left > 0) {
        int ready = wait_for(s, READABLE | WRITABLE, deadline), count;
        if (ready & READABLE)
            return 1;
        if (ready == 0)
            return 0;
        count = (int)send(s, request, left < INT_MAX ? left : INT_MAX, MSG_NOSIGNAL);
        if (count > 0) {
            request += count;
            left -= (size_t)count;
        } else if (!is_in_progress(last_error())) {
            return 1;
        }
    }
    return 1;
}

enum reading { WHOLE, TOO_LARGE, TOO_LATE, CUT_OFF };

/* Read a reply to its newline, which becomes its end; came tells how many bytes there were. */
static enum reading receive_reply(SOCKET s, char *reply, size_t size, size_t *came, double deadline)
{
    for (*came = 0; *came + 1 < size;) {
        size_t room = size - 1 - *came;
        char *newline;
        int count;
        if (!wait_for(s, READABLE, deadline))
            return TOO_LATE;
        count = (int)recv(s, reply + *came, room < INT_MAX ? room : INT_MAX, 0);
        if (count == 0 || (count < 0 && !is_in_progress(last_error())))
            return CUT_OFF;
        if (count < 0)
            continue;
        newline = (char *)memchr(reply + *came, '\n', (size_t)count);
        *came += (size_t)count;
        if (newline != NULL) {
            *newline = '\0';
            return WHOLE;
        }
    }
    return TOO_LARGE;
}

/* Send a request and wait for its reply, no longer than timeout seconds for all of it.
 *
 * command_id is the command, parameters are the members that stand beside it, in JSON and without
 * braces: "\"channel\": 0, \"frequency\": 80e6", or "". The reply, or a sentence for people, is
 * written into reply, for which 4096 bytes do but for arrays. On Windows call WSAStartup first.
 */
enum outcome send_data(const char *host, int port, double timeout, const char *command_id,
                       const char *parameters, char *reply, size_t size)
{
    const char *doubt = "; whether the command was executed is not known: check the instrument "
                        "before sending it again";
    double deadline = now() + timeout;
    char *request, status[16];
    enum reading reading;
    size_t came;
    int was_taken;
    SOCKET s;

    if (!(timeout > 0 && timeout <= 86400)) {
        snprintf(reply, size, "timeout: expected more than 0 and at most 86400 s, got %g", timeout);
        return FAIL_CONNECT;
    }
    s = connect_to(host, port, timeout, deadline, reply, size);
    if (s == INVALID_SOCKET)
        return FAIL_CONNECT;
    request = request_of(command_id, parameters, deadline - now());
    if (request == NULL) {
        closesocket(s);
        snprintf(reply, size, "there is no memory for the request");
        return FAIL_CONNECT;
    }
    was_taken = send_request(s, request, deadline);
    free(request);
    reading = was_taken ? receive_reply(s, reply, size, &came, deadline) : TOO_LATE;
    if (reading == WHOLE)
        end_with(s, 0);
    closesocket(s);

    switch (reading) {
    case WHOLE:
        if (skip_value(reply) != NULL && json_member(reply, "status", status, sizeof status) >= 0) {
            if (strcmp(status, "success") == 0)
                return SERVER_SUCCESS;
            if (strcmp(status, "fail") == 0)
                return SERVER_FAIL;
        }
        snprintf(reply, size,
                 "what %s:%d answered is not a reply of the link; check that host and port are "
                 "those of a link server",
                 host, port);
        break;
    case TOO_LARGE:
        snprintf(reply, size, "the reply of %s:%d is larger than the buffer of %lu bytes%s", host,
                 port, (unsigned long)size, doubt);
        break;
    case CUT_OFF:
        snprintf(reply, size,
                 "the connection to %s:%d ended before the whole reply (%lu bytes came)%s", host,
                 port, (unsigned long)came, doubt);
        break;
    case TOO_LATE:
        if (was_taken)
            snprintf(reply, size, "%s:%d gave no whole reply within %g s (%lu bytes came)%s", host,
                     port, timeout, (unsigned long)came, doubt);
        else
            snprintf(reply, size,
                     "%s:%d did not take the whole request within %g s, so it was not executed; "
                     "check that a link server runs there and is not overloaded",
                     host, port, timeout);
    }
    return NO_REPLY;
}

/* --- a program --------------------------------------------------------------------------- */

/* send_data HOST PORT TIMEOUT COMMAND [PARAMETERS]
 *
 * Prints the result and returns 0; prints the error and returns 1 where the server said no, 2 where
 * there was no connection, 3 where there was no reply.
 */
int main(int argc, char *argv[])
{
    static char reply[1 << 20], text[1 << 20];
    enum outcome outcome;

    if (argc < 5 || argc > 6) {
        fprintf(stderr, "usage: send_data HOST PORT TIMEOUT COMMAND [PARAMETERS]\n");
        return 2;
    }
#ifdef _WIN32
    WSADATA data;
    if (WSAStartup(MAKEWORD(2, 2), &data) != 0) {
        fprintf(stderr, "Windows sockets cannot be used\n");
        return 2;
    }
#endif
    outcome = send_data(argv[1], atoi(argv[2]), strtod(argv[3], NULL), argv[4],
                        argc == 6 ? argv[5] : "", reply, sizeof reply);
    switch (outcome) {
    case SERVER_SUCCESS:
        json_member(reply, "result", text, sizeof text);
        puts(text);
        break;
    case SERVER_FAIL:
        json_member(reply, "code", text, sizeof text);
        fprintf(stderr, "%s: ", text);
        json_member(reply, "error", text, sizeof text);
        fprintf(stderr, "%s\n", text);
        break;
    case FAIL_CONNECT:
    case NO_REPLY:
        fprintf(stderr, "%s\n", reply);
    }
    return (int)outcome;
}
