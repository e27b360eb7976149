// Opens SOCKETS connections to PORT and throws away what comes, until they are closed.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct rlimit files; getrlimit(RLIMIT_NOFILE, &files); files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files);
  int count = atoi(argv[2]), open_ = count, ep = epoll_create1(0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  for (int i = 0; i < count; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at)) { perror("connect"); return 1; }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
  }
  static char buffer[1 << 18];
  struct epoll_event events[512];
  while (open_) {
    int n = epoll_wait(ep, events, 512, 10000);
    if (n <= 0) return 0;
    for (int i = 0; i < n; i++) if (read(events[i].data.fd, buffer, sizeof buffer) <= 0) { close(events[i].data.fd); open_--; }
  }
  return 0;
}
