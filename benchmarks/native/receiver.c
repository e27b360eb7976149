// Holds one websocket per token and only reads: as little work a frame as the kernel allows. Heartbeats go out evenly.
// Usage: receiver HOST PORT TOKENS_FILE [QUERY [INTENTS...]]
// A token of "-" only shakes hands and answers pings (the connections of a baseline).
// Says "ready N" when every session has its guild. On each line of standard input it answers
// "frames F bytes B", the dispatches received since the last line. When standard input ends, it ends the sessions.
#include "ws.h"

#define BEAT_S 35.0
struct client { int fd, bare, seen, begun; struct parser parser; unsigned char small[128]; };

static uint64_t frames, bytes, begun, opened;
static struct client **clients;
static int closing;

static void begin(struct client *c) { if (!c->begun) { c->begun = 1; begun++; } }

static void got(void *who, int opcode, uint64_t size, unsigned char *body, size_t kept) {
  struct client *c = who;
  (void)body; (void)kept;
  if (opcode == 8) { if (!closing) { fprintf(stderr, "a connection was closed by the server\n"); exit(1); } }
  else if (opcode == 9) send_frame(c->fd, 10, c->small, size < 125 ? size : 125);
  else if (size >= SMALL) { frames++; bytes += size + (size < 65536 ? 4 : 10); if (++c->seen == 2) begin(c); } // READY, GUILD_CREATE
}

static unsigned char buffer[1 << 18];

// Only of control frames the body matters, and the only ones that come are pings, in one piece at the end of a read.
static void take_from(struct client *c) {
  ssize_t n = read(c->fd, buffer, sizeof buffer);
  if (n > 0) {
    if (c->bare && n >= 2 && n <= 127 && (buffer[0] & 15) == 9) memcpy(c->small, buffer + 2, n - 2);
    take(&c->parser, buffer, n, NULL, c, got);
    if (c->bare && c->parser.shaken) begin(c);
  } else if (n == 0 || errno != EAGAIN) {
    if (closing) { close(c->fd); c->fd = -1; closing--; return; }
    fprintf(stderr, "a connection was lost\n"); exit(1);
  }
}

static void beat(void) {
  static double last; static uint64_t next;
  double now = now_s();
  if (!last || now - last > BEAT_S) last = now;
  uint64_t due = (now - last) / BEAT_S * opened;
  if (!due) return;
  last = now;
  for (; due; due--) {
    struct client *c = clients[next++ % opened];
    if (!c->bare && c->begun) send_text(c->fd, "{\"op\":1,\"d\":null}");
  }
}

int main(int argc, char **argv) {
  if (argc < 4) { fprintf(stderr, "usage: receiver HOST PORT TOKENS [QUERY [INTENTS...]]\n"); return 2; }
  many_files();
  const char *query = argc > 4 ? argv[4] : "";
  FILE *list = fopen(argv[3], "r"); if (!list) die(argv[3]);
  struct sockaddr_in at = address(argv[1], argv[2]);
  int ep = epoll_create1(0);
  struct epoll_event events[512];
  char token[256], text[1024];
  clients = malloc(sizeof *clients * 100000);
  while (opened < 100000 && fscanf(list, "%255s", token) == 1) {
    struct client *c = calloc(1, sizeof *c);
    c->bare = !strcmp(token, "-");
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&at, sizeof at)) die("connect");
    send_handshake(c->fd, query);
    while (!c->parser.shaken) take_from(c); // the server wants the handshake first
    if (!c->bare) {
      unsigned intents = argc > 5 ? strtoul(argv[5 + opened % (argc - 5)], NULL, 10) : 33281;
      snprintf(text, sizeof text, "{\"op\":2,\"d\":{\"token\":\"%s\",\"intents\":%u,\"properties\":{}}}", token, intents);
      send_text(c->fd, text);
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event);
    clients[opened++] = c;
    beat();
    while (opened - begun > 50) { // not too many starts at one time
      int n = epoll_wait(ep, events, 512, 1000);
      for (int i = 0; i < n; i++) take_from(events[i].data.ptr);
      beat();
    }
  }
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(ep, EPOLL_CTL_ADD, 0, &input);
  for (int said = 0;;) {
    if (!said && begun == opened) { printf("ready %lu\n", (unsigned long)opened); fflush(stdout); said = 1; frames = bytes = 0; }
    int n = epoll_wait(ep, events, 512, 100), asked = 0;
    for (int i = 0; i < n; i++) { if (events[i].data.ptr) take_from(events[i].data.ptr); else asked = 1; }
    beat();
    if (!asked) continue;
    if (read(0, buffer, sizeof buffer) <= 0) break;
    printf("frames %lu bytes %lu\n", (unsigned long)frames, (unsigned long)bytes); fflush(stdout); frames = bytes = 0;
  }
  epoll_ctl(ep, EPOLL_CTL_DEL, 0, NULL);
  closing = opened;
  for (uint64_t i = 0; i < opened; i++) { unsigned char out[8]; if (write(clients[i]->fd, out, frame(out, 8, "\x03\xe8", 2)) < 0) continue; }
  for (double until = now_s() + 20; closing > 0 && now_s() < until;) {
    int n = epoll_wait(ep, events, 512, 100);
    for (int i = 0; i < n; i++) take_from(events[i].data.ptr);
  }
  return 0;
}
