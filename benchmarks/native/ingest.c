// Sends messages as fast as they are accepted. Usage: ingest KIND HOST PORT TOKENS_FILE DEPTH CHANNEL
//   KIND rest    a kept connection per token, POST /api/v10/channels/CHANNEL/messages, one at a time
//        socket  a session per token, op 128, DEPTH unanswered ones at a time
//        echo    a websocket per token, the same frames, answered by anything
// Says "ready N". For each line "COUNT" of standard input sends so many and says "accepted N refused N seconds S".
#include "ws.h"

enum { REST, SOCKET, ECHO };
struct client { int fd, live, waiting, at, body_left; char *token; struct parser parser; unsigned char kept[KEPT]; };

static struct client *clients;
static int kind, count, live, depth, goal, asked, answered, refused;
static long number;
static const char *channel;

static void send_one(struct client *c) {
  char body[512], text[1024];
  asked++; c->waiting++; number++;
  if (kind == REST) {
    int length = snprintf(body, sizeof body, "{\"content\":\"%ld %032d\"}", number, 0);
    int n = snprintf(text, sizeof text, "POST /api/v10/channels/%s/messages HTTP/1.1\r\nHost: benchmark\r\nAuthorization: Bot %s\r\n"
      "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", channel, c->token, length, body);
    write_all(c->fd, text, n);
  } else {
    snprintf(text, sizeof text, "{\"op\":128,\"d\":{\"channel_id\":\"%s\",\"content\":\"%ld %032d\",\"nonce\":\"%ld\"}}", channel, number, 0, number);
    send_text(c->fd, text);
  }
}

static void next(struct client *c) { while (asked < goal && c->waiting < (kind == REST ? 1 : depth)) send_one(c); }

static void answer(struct client *c, int good) {
  c->waiting--; answered++;
  if (!good) refused++;
  next(c);
}

static void got(void *who, int opcode, uint64_t size, unsigned char *body, size_t kept) {
  struct client *c = who;
  (void)size;
  if (opcode == 8) { fprintf(stderr, "a connection was closed\n"); exit(1); }
  if (opcode == 9) { send_frame(c->fd, 10, body, kept < 125 ? kept : 125); return; }
  if (kept < 12) return;
  if (kind == ECHO) { if (c->waiting) answer(c, 1); }
  else if (!memcmp(body, "{\"op\":129,", 10)) answer(c, !memmem(body, kept, "\"error\"", 7));
  else if (!c->live && memmem(body, kept < 64 ? kept : 64, "GUILD_CREATE", 12)) { c->live = 1; live++; }
}

// An answer of HTTP/1.1 with a Content-Length; its head is kept until it is whole.
static void take_http(struct client *c, const unsigned char *data, size_t length) {
  while (length) {
    if (c->body_left > 0) {
      size_t n = (size_t)c->body_left < length ? (size_t)c->body_left : length;
      c->body_left -= n; data += n; length -= n;
    } else {
      if (c->at >= KEPT - 1) { fprintf(stderr, "a long head\n"); exit(1); }
      c->kept[c->at++] = *data++; length--;
      if (c->at < 4 || memcmp(c->kept + c->at - 4, "\r\n\r\n", 4)) continue;
      c->kept[c->at] = 0;
      const char *said = strcasestr((char *)c->kept, "content-length:");
      c->body_left = said ? atoi(said + 15) : 0;
    }
    if (c->body_left) continue;
    int good = c->at > 12 && !memcmp(c->kept + 9, "200", 3);
    c->at = 0;
    answer(c, good);
  }
}

static void take_from(struct client *c) {
  static unsigned char buffer[1 << 16];
  ssize_t n = read(c->fd, buffer, sizeof buffer);
  if (n > 0) { if (kind == REST) take_http(c, buffer, n); else take(&c->parser, buffer, n, c->kept, c, got); }
  else if (n == 0 || errno != EAGAIN) { fprintf(stderr, "a connection was lost\n"); exit(1); }
}

int main(int argc, char **argv) {
  if (argc < 7) { fprintf(stderr, "usage: ingest KIND HOST PORT TOKENS DEPTH CHANNEL\n"); return 2; }
  many_files();
  kind = !strcmp(argv[1], "rest") ? REST : !strcmp(argv[1], "socket") ? SOCKET : ECHO;
  depth = atoi(argv[5]); channel = argv[6]; number = now_s() * 1e6;
  struct sockaddr_in at = address(argv[2], argv[3]);
  clients = calloc(1000, sizeof *clients);
  FILE *list = fopen(argv[4], "r"); if (!list) die(argv[4]);
  int ep = epoll_create1(0), one = 1;
  struct epoll_event events[256];
  char token[256], text[1024];
  while (count < 1000 && fscanf(list, "%255s", token) == 1) {
    struct client *c = &clients[count++];
    c->token = strdup(token);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof at)) die("connect");
    if (kind != REST) {
      send_handshake(c->fd, "");
      while (!c->parser.shaken) take_from(c);
    }
    if (kind == SOCKET) {
      snprintf(text, sizeof text, "{\"op\":2,\"d\":{\"token\":\"%s\",\"intents\":1,\"properties\":{}}}", token);
      send_text(c->fd, text);
    } else live++;
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event);
  }
  double until = now_s() + 60;
  while (live < count) {
    if (now_s() > until) { fprintf(stderr, "the sessions do not start\n"); return 1; }
    int n = epoll_wait(ep, events, 256, 100);
    for (int i = 0; i < n; i++) take_from(events[i].data.ptr);
  }
  printf("ready %d\n", count); fflush(stdout);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(ep, EPOLL_CTL_ADD, 0, &input);
  double start = 0, beat = now_s();
  for (;;) {
    int n = epoll_wait(ep, events, 256, 1000);
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) { take_from(events[i].data.ptr); continue; }
      char line[64];
      ssize_t length = read(0, line, sizeof line - 1);
      if (length <= 0) { if (kind != REST) for (int k = 0; k < count; k++) send_close(clients[k].fd); return 0; }
      line[length] = 0;
      goal = atoi(line); asked = answered = refused = 0; start = now_s();
      for (int k = 0; k < count; k++) next(&clients[k]);
    }
    if (kind == SOCKET && now_s() - beat > 30) { beat = now_s(); for (int k = 0; k < count; k++) send_text(clients[k].fd, "{\"op\":1,\"d\":null}"); }
    if (goal && answered == goal) {
      printf("accepted %d refused %d seconds %.3f\n", answered - refused, refused, now_s() - start); fflush(stdout);
      goal = 0;
    }
  }
}
