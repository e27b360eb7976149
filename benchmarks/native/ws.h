// What the clients of the benchmarks share: the least that a websocket client can do. Frames to the server are masked
// with zeros, which changes nothing, so that each is a copy of ready bytes.
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
#include <time.h>
#include <unistd.h>

// A frame smaller than this is none of the dispatches measured: HELLO, heartbeats, RESUMED.
#define SMALL 100
// Of a frame so much is kept for who wants to look at it.
#define KEPT 4096

struct parser {
  int head_bytes, opcode, matched, shaken; // shaken: the handshake is over
  uint64_t size, left;
  size_t kept;
  unsigned char head[10];
};

static inline void die(const char *what) { perror(what); exit(1); }

static inline double now_s(void) {
  struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static inline void many_files(void) {
  struct rlimit files; getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files);
}

static inline struct sockaddr_in address(const char *host, const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, host, &at.sin_addr) != 1) { fprintf(stderr, "no address: %s\n", host); exit(2); }
  return at;
}

// Small writes to a socket that takes them; one that does not is waited for, but not for ever.
static inline void write_all(int fd, const void *data, size_t length) {
  for (int tries = 0; length;) {
    ssize_t n = write(fd, data, length);
    if (n < 0) {
      if (errno != EAGAIN || ++tries > 5000) die("write");
      usleep(1000);
      continue;
    }
    data = (const char *)data + n; length -= n;
  }
}

static inline size_t frame(unsigned char *out, int opcode, const void *body, size_t length) {
  size_t at = 0;
  out[at++] = 0x80 | opcode;
  if (length < 126) out[at++] = 0x80 | length;
  else { out[at++] = 0x80 | 126; out[at++] = length >> 8; out[at++] = length & 255; }
  memset(out + at, 0, 4); at += 4;
  memcpy(out + at, body, length);
  return at + length;
}

static inline void send_frame(int fd, int opcode, const void *body, size_t length) {
  unsigned char out[8192 + 8];
  if (length > 8192) { fprintf(stderr, "too long to send\n"); exit(1); }
  write_all(fd, out, frame(out, opcode, body, length));
}

static inline void send_text(int fd, const char *text) { send_frame(fd, 1, text, strlen(text)); }

static inline void send_handshake(int fd, const char *query) {
  char text[1024];
  int length = snprintf(text, sizeof text, "GET /gateway/?v=10&encoding=json%s HTTP/1.1\r\nHost: benchmark\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n", query);
  write_all(fd, text, length);
}

static inline void send_close(int fd) { send_frame(fd, 8, "\x03\xe8", 2); } // 1000: the session has ended

// Takes what was read. For each whole frame: got(who, opcode, size, body, bytes of it kept); body may be NULL when
// nothing is to be kept but control frames. keep: KEPT bytes of the client's own, or NULL.
static inline void take(struct parser *p, const unsigned char *data, size_t length, unsigned char *keep, void *who,
                        void (*got)(void *, int, uint64_t, unsigned char *, size_t)) {
  static const char end[] = "\r\n\r\n";
  while (length) {
    if (!p->shaken) {
      p->matched = *data == (unsigned char)end[p->matched] ? p->matched + 1 : *data == '\r';
      data++; length--;
      p->shaken = p->matched == 4;
      continue;
    }
    if (p->left) {
      uint64_t n = p->left < length ? p->left : length;
      if (keep && p->kept < KEPT) {
        size_t more = n < KEPT - p->kept ? n : KEPT - p->kept;
        memcpy(keep + p->kept, data, more); p->kept += more;
      }
      p->left -= n; data += n; length -= n;
      if (!p->left) got(who, p->opcode, p->size, keep, p->kept);
      continue;
    }
    p->head[p->head_bytes++] = *data++; length--;
    if (p->head_bytes < 2) continue;
    int need = 2 + ((p->head[1] & 127) == 126 ? 2 : (p->head[1] & 127) == 127 ? 8 : 0);
    if (p->head_bytes < need) continue;
    uint64_t size = p->head[1] & 127;
    if (need > 2) { size = 0; for (int i = 2; i < need; i++) size = size << 8 | p->head[i]; }
    p->opcode = p->head[0] & 15; p->size = p->left = size; p->head_bytes = 0; p->kept = 0;
    if (!size) got(who, p->opcode, 0, keep, 0);
  }
}
