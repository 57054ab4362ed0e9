function reply = send_data(request, host, port, timeout)
%SEND_DATA  Send one command to a lab PC's server, and return its reply.
%
%   request = struct('command_id', 'set_frequency', 'channel', 0, 'frequency', 80e6);
%   reply = send_data(request, '192.168.1.20', 65432, 2.0);
%   if strcmp(reply.status, 'success')
%       disp(reply.result.frequency)
%   else
%       disp(reply.error)
%   end
%
%   request is a struct: command_id says what to do, its other fields are the parameters. A list
%   of one number is written as a cell, {80e6}: jsonencode makes a plain number of [80e6].
%
%   reply is a struct. Its status is 'success', and result what the command returned; or it is
%   'fail', and code, error and perhaps where say why. Raised are
%
%   artiq_link:fail_connect   there was no connection: nothing was executed
%   artiq_link:no_reply       no reply came in time: the command may have been executed
%
%   It waits up to timeout seconds for the connection, and as long again for the reply. An array in
%   the result is a struct with the field x__jsonclass__; of {'nparray', {shape, '<f8', elements}}
%   MATLAB makes it by
%
%   described = reply.result.x__jsonclass__{2};
%   samples = typecast(matlab.net.base64decode(described{3}), 'double');
%
%   Copy this file into MATLAB's path. docs/protocol.md describes what is sent and received.

% The server is told a little less, so that its own answer "timeout" comes in time. MATLAB cannot
% reset a connection, so this alone keeps a command from being executed when nobody waits for it.
% The connection is kept until it is cleared here: one that the server ends may be an error.
request.link = struct('timeout', timeout - min(0.1, 0.1 * timeout), 'keep', true);

limits = {'Timeout', timeout, 'ConnectTimeout', timeout};
if exist('OCTAVE_VERSION', 'builtin')
    limits = limits(1:2); % Octave's tcpclient leaves the connection's limit to the system
end
try
    connection = tcpclient(host, port, limits{:});
catch failure
    error('artiq_link:fail_connect', ...
        ['could not connect to %s:%d: %s; check that the server is running, that host and port ' ...
        'are right, and that no firewall is in the way'], host, port, failure.message);
end

doubt = ['; whether the command was executed is not known: check the instrument before sending ' ...
    'it again'];
try
    write(connection, unicode2native(jsonencode(request), 'UTF-8'));
    line = char(readline(connection)); % up to the newline; empty where it was not there in time
catch failure
    error('artiq_link:no_reply', '%s:%d gave no reply: %s%s', host, port, failure.message, doubt);
end
clear connection
if isempty(line)
    error('artiq_link:no_reply', '%s:%d gave no whole reply within %g s%s', host, port, ...
        timeout, doubt);
end

try
    reply = jsondecode(line);
    is_reply = any(strcmp(reply.status, {'success', 'fail'}));
catch
    is_reply = false;
end
if ~is_reply
    error('artiq_link:no_reply', ['what %s:%d answered is not a reply of the link; check that ' ...
        'host and port are those of a link server'], host, port);
end
end
