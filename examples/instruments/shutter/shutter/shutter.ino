/* Four beam shutters: an Arduino that moves a servo for each, told by lines over USB at 9600 baud.

     identify       shutter 1
     get            0110            channels 0 to 3, 1 is open
     open 2         ok
     close 2        ok
     anything else  error: ...

   Opening the serial port restarts most Arduinos, and a restart closes the shutters. A capacitor of
   10 uF between RESET and GND keeps the shutters as they are; take it out to load a sketch. */

#include <Servo.h>

const int CHANNELS = 4;
const int PINS[CHANNELS] = {9, 10, 11, 12};
const int OPEN_ANGLE = 60;    // degrees
const int CLOSED_ANGLE = 10;

Servo servos[CHANNELS];
bool isOpen[CHANNELS];
char line[16];
unsigned length = 0;

void move(int channel, bool open) {
  isOpen[channel] = open;
  servos[channel].write(open ? OPEN_ANGLE : CLOSED_ANGLE);
}

// The channel that a command names behind its first `skip` characters; -1 where it names none.
int channelIn(const char *text, unsigned skip) {
  bool named = strlen(text) == skip + 1 && text[skip] >= '0' && text[skip] < '0' + CHANNELS;
  return named ? text[skip] - '0' : -1;
}

void obey(const char *text) {
  if (strcmp(text, "identify") == 0) {
    Serial.print("shutter 1\n");
  } else if (strcmp(text, "get") == 0) {
    for (int channel = 0; channel < CHANNELS; channel++) Serial.print(isOpen[channel] ? '1' : '0');
    Serial.print('\n');
  } else if (strncmp(text, "open ", 5) == 0 && channelIn(text, 5) >= 0) {
    move(channelIn(text, 5), true);
    Serial.print("ok\n");
  } else if (strncmp(text, "close ", 6) == 0 && channelIn(text, 6) >= 0) {
    move(channelIn(text, 6), false);
    Serial.print("ok\n");
  } else {
    Serial.print("error: what is that?\n");
  }
}

void setup() {
  for (int channel = 0; channel < CHANNELS; channel++) {
    move(channel, false);  // before attach, or the servo would pass through its middle
    servos[channel].attach(PINS[channel]);
  }
  Serial.begin(9600);
}

void loop() {
  while (Serial.available()) {
    char sign = Serial.read();
    if (sign == '\n') {
      line[length] = 0;
      obey(length < sizeof line - 1 ? line : "too long");
      length = 0;
    } else if (sign != '\r' && length < sizeof line - 1) {
      line[length++] = sign;
    }
  }
}
