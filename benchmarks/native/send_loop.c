// The baseline: the same bytes to as many sockets by send(2), and nothing else.
// Usage: send_loop PORT SOCKETS BYTES ROUNDS GATHER PAUSE_US
// Listens, waits for the sockets, sends BYTES * GATHER to each of them in ROUNDS rounds after some to get warm (windows
// and buffers have grown by then, as those of sessions have), and says "sends N cpu SECONDS short N".
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
  if (argc < 7) return 2;
  int port = atoi(argv[1]), count = atoi(argv[2]), size = atoi(argv[3]) * atoi(argv[5]), rounds = atoi(argv[4]), one = 1;
  struct rlimit files; getrlimit(RLIMIT_NOFILE, &files); files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files);
  int listener = socket(AF_INET, SOCK_STREAM, 0), *fds = malloc(count * sizeof *fds);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) { perror("listen"); return 1; }
  printf("listening\n"); fflush(stdout);
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
    usleep(atoi(argv[6]));
  }
  printf("sends %lu cpu %.6f short %lu\n", sends, cpu() - start, short_sends); fflush(stdout);
  usleep(200000);
  return 0;
}
