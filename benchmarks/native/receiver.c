// Opens one websocket per token, identifies, and then only reads: as little work a frame as the kernel allows.
// Usage: receiver HOST PORT TOKENS_FILE [zlib] [plain-intents]
// Says "ready N" when every session has its guilds. On each line of standard input it answers
// "frames F bytes B" received since the last line (frames: websocket frames of the server).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HANDSHAKE, FRAMES };
struct client {
  int fd, state, head_bytes, seen;
  uint64_t left;          // of the frame being read
  unsigned char head[10]; // its header so far
  int matched;            // bytes of the handshake's end seen
};

static uint64_t frames, bytes, started;
static int wanted_frames; // a session is ready after so many frames: HELLO, READY, GUILD_CREATE

static void die(const char *what) { perror(what); exit(1); }

static void write_all(int fd, const void *data, size_t length) {
  while (length) {
    ssize_t n = write(fd, data, length);
    if (n < 0) { if (errno == EAGAIN) { usleep(1000); continue; } die("write"); }
    data = (const char *)data + n; length -= n;
  }
}

static void send_text(int fd, const char *text) { // masked with zeros: the mask changes nothing
  size_t length = strlen(text);
  unsigned char frame[2048]; size_t at = 0;
  frame[at++] = 0x81;
  if (length < 126) frame[at++] = 0x80 | length;
  else { frame[at++] = 0x80 | 126; frame[at++] = length >> 8; frame[at++] = length & 255; }
  memset(frame + at, 0, 4); at += 4;
  memcpy(frame + at, text, length);
  write_all(fd, frame, at + length);
}

// Takes what was read; counts whole frames.
static void take(struct client *c, const unsigned char *data, size_t length) {
  static const char end[] = "\r\n\r\n";
  bytes += length;
  while (length) {
    if (c->state == HANDSHAKE) {
      c->matched = *data == (unsigned char)end[c->matched] ? c->matched + 1 : *data == '\r';
      data++; length--;
      if (c->matched == 4) c->state = FRAMES;
      continue;
    }
    if (c->left) {
      uint64_t n = c->left < length ? c->left : length;
      c->left -= n; data += n; length -= n;
      if (!c->left) { frames++; if (++c->seen == wanted_frames) started++; }
      continue;
    }
    c->head[c->head_bytes++] = *data++; length--;
    int need = 2 + ((c->head[1] & 127) == 126 ? 2 : (c->head[1] & 127) == 127 ? 8 : 0);
    if (c->head_bytes < 2 || c->head_bytes < need) continue;
    uint64_t size = c->head[1] & 127;
    if (need > 2) { size = 0; for (int i = 2; i < need; i++) size = size << 8 | c->head[i]; }
    c->left = size; c->head_bytes = 0;
    if (!size) frames++;
  }
}

int main(int argc, char **argv) {
  if (argc < 4) { fprintf(stderr, "usage: receiver HOST PORT TOKENS [QUERY [INTENTS...]]\n"); return 2; }
  struct rlimit files; getrlimit(RLIMIT_NOFILE, &files); files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files);
  const char *query = argc > 4 ? argv[4] : "";
  wanted_frames = 3;
  FILE *list = fopen(argv[3], "r"); if (!list) die(argv[3]);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
  inet_pton(AF_INET, argv[1], &at.sin_addr);
  int ep = epoll_create1(0), count = 0;
  static unsigned char buffer[1 << 18];
  struct epoll_event events[512];
  char token[256];
  uint64_t opened = 0;
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  while (fscanf(list, "%255s", token) == 1) {
    struct client *c = calloc(1, sizeof *c);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof at)) die("connect");
    char text[1024];
    snprintf(text, sizeof text, "GET /gateway/?v=10&encoding=json%s HTTP/1.1\r\nHost: benchmark\r\nUpgrade: websocket\r\n"
      "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n", query);
    write_all(c->fd, text, strlen(text));
    unsigned intents = argc > 5 ? strtoul(argv[5 + opened % (argc - 5)], NULL, 10) : 34307;
    snprintf(text, sizeof text, "{\"op\":2,\"d\":{\"token\":\"%s\",\"intents\":%u,\"properties\":{}}}", token, intents);
    // The server wants the handshake first.
    while (c->state == HANDSHAKE) { ssize_t n = read(c->fd, buffer, sizeof buffer); if (n <= 0) die("read"); take(c, buffer, n); }
    send_text(c->fd, text);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event);
    opened++;
    // Not too many starts at one time.
    while (opened - started > 50) {
      int n = epoll_wait(ep, events, 512, 1000);
      for (int i = 0; i < n; i++) { struct client *r = events[i].data.ptr; ssize_t got = read(r->fd, buffer, sizeof buffer); if (got <= 0) { fprintf(stderr, "closed\n"); exit(1); } take(r, buffer, got); }
    }
  }
  epoll_ctl(ep, EPOLL_CTL_ADD, 0, &input);
  int said = 0;
  for (;;) {
    if (!said && started == opened) { printf("ready %lu\n", (unsigned long)opened); fflush(stdout); said = 1; frames = bytes = 0; }
    count = epoll_wait(ep, events, 512, -1);
    for (int i = 0; i < count; i++) {
      struct client *c = events[i].data.ptr;
      ssize_t n = read(c ? c->fd : 0, buffer, sizeof buffer);
      if (!c) {
        if (n <= 0) return 0;
        printf("frames %lu bytes %lu\n", (unsigned long)frames, (unsigned long)bytes); fflush(stdout); frames = bytes = 0;
      } else if (n > 0) take(c, buffer, n);
      else if (n == 0 || errno != EAGAIN) { fprintf(stderr, "a connection was closed\n"); return 1; }
    }
  }
}
