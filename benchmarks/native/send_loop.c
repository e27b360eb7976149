// The baseline: the same bytes to as many sockets by send(2), and nothing else.
// Usage: send_loop SOCKETS BYTES ROUNDS GATHER PAUSE_US
// Listens and says "listening PORT", waits for the sockets, sends BYTES * GATHER to each of them in ROUNDS rounds after
// some to get warm (windows and buffers have grown by then, as those of sessions have), and says
// "sends N cpu SECONDS short N".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM 10

static double cpu(void) {
  struct rusage u; getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  int count = atoi(argv[1]), size = atoi(argv[2]) * atoi(argv[4]), rounds = atoi(argv[3]), one = 1;
  struct rlimit files; getrlimit(RLIMIT_NOFILE, &files); files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files);
  int listener = socket(AF_INET, SOCK_STREAM, 0), *fds = malloc(count * sizeof *fds);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) { perror("listen"); return 1; }
  socklen_t length = sizeof at;
  getsockname(listener, (struct sockaddr *)&at, &length);
  printf("listening %d\n", ntohs(at.sin_port)); fflush(stdout);
  for (int i = 0; i < count; i++) {
    fds[i] = accept(listener, NULL, NULL);
    setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  char *data = malloc(size); memset(data, 'x', size);
  double start = 0;
  unsigned long sends = 0, short_sends = 0;
  for (int round = -WARM; round < rounds; round++) {
    if (!round) { start = cpu(); sends = short_sends = 0; }
    for (int i = 0; i < count; i++) { sends++; if (send(fds[i], data, size, MSG_DONTWAIT) != size) short_sends++; }
    usleep(atoi(argv[5]));
  }
  printf("sends %lu cpu %.6f short %lu\n", sends, cpu() - start, short_sends); fflush(stdout);
  usleep(200000);
  return 0;
}
