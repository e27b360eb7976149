// Sends messages by op 128 at fixed times and sees when they come. One process, so one clock.
// Usage: latency HOST SEND_PORT RECEIVE_PORT TOKENS_FILE SENDERS CHANNEL
// The first SENDERS tokens send in turn, the others receive. Says "ready N". Then, for each line "RATE SECONDS" of
// standard input, sends so many messages a second and answers when all have come, or ten seconds after the last:
//   sent N accepted A refused R received F accept P50 P95 P99 P999 MOST deliver P50 P95 P99 P999 MOST
// All times in ms from when the message should have been sent, whether or not that was possible then (so a stall counts
// for every message that it held up).
#include "ws.h"
#include <sys/timerfd.h>

enum { CONNECTING, STARTING, LIVE };
struct client { int fd, state, sender; struct parser parser; unsigned char kept[KEPT]; };

static struct client *clients;
static int count, live, senders, refused;
static double *deliver, *accept_, start, rate;
static int delivered, accepted, sent, run, most;

static long number_after(const unsigned char *body, size_t length, const char *what) {
  const char *found = memmem(body, length, what, strlen(what));
  return found ? strtol(found + strlen(what), NULL, 10) : -1;
}

// A number says the run too: what is left of the one before is not taken for this one's.
static double since(long number) {
  if (number / 1000000 != run) return -1;
  return (now_s() - (start + number % 1000000 / rate)) * 1000;
}

static void got(void *who, int opcode, uint64_t size, unsigned char *body, size_t kept) {
  struct client *c = who;
  (void)size;
  if (opcode == 8) { fprintf(stderr, "a connection was closed\n"); exit(1); }
  if (opcode != 1 || kept < 12) return;
  if (c->state == STARTING) {
    if (memmem(body, kept < 64 ? kept : 64, "GUILD_CREATE", 12)) { c->state = LIVE; live++; }
  } else if (!memcmp(body, "{\"op\":129,", 10)) {
    double ms = since(number_after(body, kept, "\"nonce\":\""));
    if (memmem(body, kept, "\"error\"", 7)) refused++;
    else if (ms >= 0 && accepted < most) accept_[accepted++] = ms;
  } else if (!c->sender && !memcmp(body, "{\"op\":0,", 8)) {
    double ms = since(number_after(body, kept, "\"content\":\""));
    if (ms >= 0 && delivered < most * (count - senders)) deliver[delivered++] = ms;
  }
}

static void take_from(struct client *c) {
  static unsigned char buffer[1 << 16];
  ssize_t n = read(c->fd, buffer, sizeof buffer);
  if (n > 0) take(&c->parser, buffer, n, c->kept, c, got);
  else if (n == 0 || errno != EAGAIN) { fprintf(stderr, "a connection was lost\n"); exit(1); }
}

static int by_size(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

static void say(const char *what, double *found, int n) {
  static const double at[] = {0.5, 0.95, 0.99, 0.999};
  qsort(found, n, sizeof *found, by_size);
  printf(" %s", what);
  for (int i = 0; i < 4; i++) printf(" %.3f", n ? found[(int)(n * at[i])] : 0.0);
  printf(" %.3f", n ? found[n - 1] : 0.0);
}

static void send_due(const char *channel, int total) {
  char text[512];
  while (sent < total && start + sent / rate <= now_s()) {
    long number = run * 1000000L + sent;
    snprintf(text, sizeof text, "{\"op\":128,\"d\":{\"channel_id\":\"%s\",\"content\":\"%ld %064d\",\"nonce\":\"%ld\"}}", channel, number, 0, number);
    send_text(clients[sent++ % senders].fd, text);
  }
}

int main(int argc, char **argv) {
  if (argc < 7) { fprintf(stderr, "usage: latency HOST SEND_PORT RECEIVE_PORT TOKENS SENDERS CHANNEL\n"); return 2; }
  many_files();
  senders = atoi(argv[5]);
  clients = calloc(1000, sizeof *clients);
  FILE *list = fopen(argv[4], "r"); if (!list) die(argv[4]);
  int ep = epoll_create1(0);
  struct epoll_event events[256];
  char token[256], text[1024];
  while (count < 1000 && fscanf(list, "%255s", token) == 1) {
    struct client *c = &clients[count];
    c->sender = count++ < senders;
    struct sockaddr_in at = address(argv[1], argv[c->sender ? 2 : 3]);
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof at)) die("connect");
    send_handshake(c->fd, "");
    while (!c->parser.shaken) take_from(c);
    c->state = STARTING;
    snprintf(text, sizeof text, "{\"op\":2,\"d\":{\"token\":\"%s\",\"intents\":%d,\"properties\":{}}}", token, c->sender ? 1 : 33281);
    send_text(c->fd, text);
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
  static int input, clock_;
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clock_};
  epoll_ctl(ep, EPOLL_CTL_ADD, timer, &event);
  event.data.ptr = &input;
  epoll_ctl(ep, EPOLL_CTL_ADD, 0, &event);
  int total = 0;
  double beat = now_s(), end = 0;
  for (;;) {
    int n = epoll_wait(ep, events, 256, 100);
    for (int i = 0; i < n; i++) {
      void *what = events[i].data.ptr;
      if (what == &clock_) {
        uint64_t expired;
        if (read(timer, &expired, sizeof expired) > 0) send_due(argv[6], total);
      } else if (what == &input) {
        char line[128]; double seconds;
        ssize_t length = read(0, line, sizeof line - 1);
        if (length <= 0) { for (int k = 0; k < count; k++) send_close(clients[k].fd); return 0; }
        line[length] = 0;
        if (sscanf(line, "%lf %lf", &rate, &seconds) != 2 || rate < 1 || rate * seconds > 500000) return 2;
        run++; total = most = rate * seconds; sent = accepted = delivered = refused = 0;
        deliver = realloc(deliver, sizeof *deliver * total * (count - senders));
        accept_ = realloc(accept_, sizeof *accept_ * total);
        start = now_s() + 0.05; end = start + seconds + 10;
        struct itimerspec at = {.it_value = {.tv_sec = (time_t)start, .tv_nsec = (long)((start - (time_t)start) * 1e9)},
                                .it_interval = {.tv_sec = (time_t)(1 / rate), .tv_nsec = (long)(1e9 / rate) % 1000000000}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
      } else take_from(what);
    }
    if (now_s() - beat > 30) { beat = now_s(); for (int k = 0; k < count; k++) send_text(clients[k].fd, "{\"op\":1,\"d\":null}"); }
    if (total && ((accepted + refused == total && delivered == accepted * (count - senders)) || now_s() > end)) {
      struct itimerspec off = {0};
      timerfd_settime(timer, 0, &off, NULL);
      printf("sent %d accepted %d refused %d received %d", sent, accepted, refused, delivered);
      say("accept", accept_, accepted); say("deliver", deliver, delivered);
      printf("\n"); fflush(stdout);
      total = 0;
    }
  }
}
