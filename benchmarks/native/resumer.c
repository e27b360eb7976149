// Sessions that are cut and come back. Usage: resumer HOST PORT TOKENS_FILE INTENTS
// Identifies all and says "ready N". Then commands, one a line of standard input, each answered by one line:
//   cut                       all connections are gone at once -> "cut N"
//   expect FILE               ids of the messages missed, in order, one a line -> "expecting N"
//   resume PORT FIRST COUNT WINDOW SECONDS
//                             these sessions connect and RESUME, at most WINDOW of them at one time. One is done when
//                             RESUMED has come and every id expected, each once and in order. Who is closed or refused comes
//                             again -> "resumed N again A wrong W left L ms P50 P99 MOST" (from the connect to RESUMED)
//   shake PORT COUNT WINDOW SECONDS
//                             as many bare handshakes: connect, HELLO, gone -> "shaken N left L ms P50 P99 MOST"
//   end                       all sessions are ended (1000) -> "ended"
#include "ws.h"

enum { AWAY, CONNECTING, SHAKING, STARTING, LIVE };
struct client {
  int fd, state, bare, next, resumed, done, behind; // behind: missed more than what is expected now
  long seq;
  double began, again_at;
  char id[512], token[256];
  struct parser parser;
  unsigned char *kept;
};

static struct client *clients, *shakers;
static int count, ep, total_expected, working, done, again, wrong, starting;
static char (*expected)[24];
static unsigned intents;
static double *took;
static unsigned char buffer[1 << 18];
static struct sockaddr_in at;

static void drop(struct client *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1; c->state = AWAY;
}

static void open_one(struct client *c, int port) {
  memset(&c->parser, 0, sizeof c->parser);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  at.sin_port = htons(port);
  if (connect(c->fd, (struct sockaddr *)&at, sizeof at) && errno != EINPROGRESS) die("connect");
  c->state = CONNECTING;
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &event);
}

static void finish(struct client *c) {
  if (c->done) return;
  c->done = 1; working--;
  took[done++] = (now_s() - c->began) * 1000;
}

static const char *after(const unsigned char *body, size_t length, const char *what) {
  const char *found = memmem(body, length, what, strlen(what));
  return found ? found + strlen(what) : NULL;
}

static void got(void *who, int opcode, uint64_t size, unsigned char *body, size_t kept) {
  struct client *c = who;
  (void)size;
  if (opcode == 8) { c->again_at = -1; return; }
  if (opcode != 1 || kept < 8) return;
  if (c->bare) { finish(c); c->again_at = -1; return; }
  if (memcmp(body, "{\"op\":0,", 8)) {
    if (!memcmp(body, "{\"op\":9,", 8)) { wrong++; c->again_at = -1; }
    return;
  }
  const char *s = after(body, kept < 64 ? kept : 64, "\"s\":"), *t = after(body, kept < 64 ? kept : 64, "\"t\":\"");
  if (!s || !t) { wrong++; return; }
  long seq = strtol(s, NULL, 10);
  if (!memcmp(t, "READY\"", 6)) {
    const char *id = after(body, kept, "\"session_id\":\"");
    if (!id) { wrong++; return; }
    size_t n = strcspn(id, "\"");
    if (n >= sizeof c->id) { wrong++; return; }
    memcpy(c->id, id, n); c->id[n] = 0;
  } else if (!memcmp(t, "GUILD_CREATE\"", 13) && c->state == STARTING && !c->seq) {
    c->state = LIVE; starting--;
  } else if (!memcmp(t, "MESSAGE_CREATE\"", 15) && c->state == STARTING) {
    char wanted[40];
    int n = c->next < total_expected ? snprintf(wanted, sizeof wanted, "\"id\":\"%s\"", expected[c->next]) : 0;
    if (n && memmem(body, kept, wanted, n)) c->next++; else if (!c->behind || c->next) wrong++;
  } else if (!memcmp(t, "RESUMED\"", 8)) c->resumed = 1;
  if (seq > 1) c->seq = seq;
  if (c->state == STARTING && c->resumed && c->next == total_expected) { c->state = LIVE; finish(c); }
}

static void begin(struct client *c) {
  char text[1200];
  if (c->bare) return;
  if (c->id[0])
    snprintf(text, sizeof text, "{\"op\":6,\"d\":{\"token\":\"%s\",\"session_id\":\"%s\",\"seq\":%ld}}", c->token, c->id, c->seq);
  else snprintf(text, sizeof text, "{\"op\":2,\"d\":{\"token\":\"%s\",\"intents\":%u,\"properties\":{}}}", c->token, intents);
  send_text(c->fd, text);
  c->state = STARTING; c->resumed = 0;
}

static void handle(struct epoll_event *event) {
  struct client *c = event->data.ptr;
  if (c->fd < 0) return;
  if (c->state == CONNECTING) {
    int error = 0; socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) { c->again_at = -1; }
    else {
      send_handshake(c->fd, "");
      c->state = SHAKING;
      struct epoll_event reading = {.events = EPOLLIN, .data.ptr = c};
      epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &reading);
      return;
    }
  } else {
    ssize_t n = read(c->fd, buffer, sizeof buffer);
    if (n > 0) {
      int state = c->state;
      if (state == SHAKING) { // the start goes out before what came with the handshake is looked at
        take(&c->parser, buffer, n, c->kept, c, got);
        if (c->parser.shaken) begin(c);
      } else take(&c->parser, buffer, n, c->kept, c, got);
    } else if (n == 0 || errno != EAGAIN) c->again_at = -1;
  }
  if (c->again_at >= 0) return;
  drop(c);
  c->again_at = 0;
  if (!c->done) { again++; c->again_at = now_s() + 0.05 + drand48() * 0.2; }
}

static int by_size(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

static void work(struct client *these, int amount, int port, int window, double seconds) {
  struct epoll_event events[512];
  int next = 0;
  double until = now_s() + seconds, looked = 0;
  working = done = again = wrong = 0;
  while (done < amount && now_s() < until) {
    while (next < amount && working < window) {
      struct client *c = &these[next++];
      c->next = c->done = 0; c->again_at = 0; c->began = now_s();
      working++;
      open_one(c, port);
    }
    int n = epoll_wait(ep, events, 512, 10);
    for (int i = 0; i < n; i++) handle(&events[i]);
    if (now_s() - looked > 0.02) {
      looked = now_s();
      for (int i = 0; i < next; i++) if (these[i].again_at > 0 && these[i].again_at < looked) { these[i].again_at = 0; open_one(&these[i], port); }
    }
  }
  qsort(took, done, sizeof *took, by_size);
}

static void times(void) {
  if (done) printf(" ms %.3f %.3f %.3f\n", took[done / 2], took[(int)(done * 0.99)], took[done - 1]);
  else printf(" ms 0 0 0\n");
}

int main(int argc, char **argv) {
  if (argc < 5) { fprintf(stderr, "usage: resumer HOST PORT TOKENS INTENTS\n"); return 2; }
  many_files();
  at = address(argv[1], argv[2]);
  intents = strtoul(argv[4], NULL, 10);
  clients = calloc(20000, sizeof *clients);
  FILE *list = fopen(argv[3], "r"); if (!list) die(argv[3]);
  while (count < 20000 && fscanf(list, "%255s", clients[count].token) == 1) {
    clients[count].fd = -1;
    clients[count++].kept = malloc(KEPT);
  }
  shakers = calloc(20000, sizeof *shakers);
  unsigned char *scrap = malloc(KEPT);
  for (int i = 0; i < 20000; i++) { shakers[i].bare = 1; shakers[i].fd = -1; shakers[i].kept = scrap; }
  took = calloc(20000, sizeof *took);
  expected = calloc(100000, sizeof *expected);
  ep = epoll_create1(0);
  struct epoll_event events[512];
  double until = now_s() + 120;
  for (int i = 0; i < count || starting;) {
    if (now_s() > until) { fprintf(stderr, "the sessions do not start\n"); return 1; }
    for (; i < count && starting < 50; i++) { starting++; open_one(&clients[i], atoi(argv[2])); }
    int n = epoll_wait(ep, events, 512, 100);
    for (int e = 0; e < n; e++) {
      handle(&events[e]);
      if (again) { fprintf(stderr, "a start failed\n"); return 1; }
    }
  }
  printf("ready %d\n", count); fflush(stdout);
  struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(ep, EPOLL_CTL_ADD, 0, &input);
  char line[1024], path[1000];
  for (double beat = now_s();;) {
    int n = epoll_wait(ep, events, 512, 200), asked = 0;
    for (int e = 0; e < n; e++) { if (events[e].data.ptr) handle(&events[e]); else asked = 1; }
    if (now_s() - beat > 30) {
      beat = now_s();
      for (int i = 0; i < count; i++) if (clients[i].state == LIVE) send_text(clients[i].fd, "{\"op\":1,\"d\":null}");
    }
    if (!asked) continue;
    size_t length = 0; // one line at a time comes: the other side waits for the answer
    while (length < sizeof line - 1 && read(0, line + length, 1) == 1 && line[length] != '\n') length++;
    line[length] = 0;
    if (!length) break;
    epoll_ctl(ep, EPOLL_CTL_DEL, 0, NULL);
    int port, first, amount, window; double seconds;
    if (!strcmp(line, "cut")) {
      for (int i = 0; i < count; i++) {
        clients[i].behind = clients[i].state != LIVE;
        drop(&clients[i]); clients[i].done = 1; clients[i].again_at = 0;
      }
      printf("cut %d\n", count);
    } else if (sscanf(line, "expect %999s", path) == 1) {
      FILE *ids = fopen(path, "r"); if (!ids) die(path);
      for (total_expected = 0; total_expected < 100000 && fscanf(ids, "%23s", expected[total_expected]) == 1;) total_expected++;
      fclose(ids);
      printf("expecting %d\n", total_expected);
    } else if (sscanf(line, "resume %d %d %d %d %lf", &port, &first, &amount, &window, &seconds) == 5 && first + amount <= count) {
      work(clients + first, amount, port, window, seconds);
      printf("resumed %d again %d wrong %d left %d", done, again, wrong, amount - done); times();
    } else if (sscanf(line, "shake %d %d %d %lf", &port, &amount, &window, &seconds) == 4 && amount <= 20000) {
      work(shakers, amount, port, window, seconds);
      printf("shaken %d left %d", done, amount - done); times();
      for (int i = 0; i < amount; i++) drop(&shakers[i]);
    } else if (!strcmp(line, "end")) {
      for (int i = 0; i < count; i++) if (clients[i].state == LIVE) send_close(clients[i].fd);
      printf("ended\n");
    } else printf("what? %s\n", line);
    fflush(stdout);
    epoll_ctl(ep, EPOLL_CTL_ADD, 0, &input);
  }
  return 0;
}
