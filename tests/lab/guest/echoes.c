/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * echoes <port>: returns what TCP connections to that port send, as lablib/echo.py
 * does outside; the other end of a net witness in dom0 or in a guest.
 *
 * Runs until it is killed, one thread for each connection.  What can fail: the
 * port, which is said and ends it.  Connections that break are for the witness to
 * report.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void *serve(void *arg)
{
    const int sock = (intptr_t)arg;
    uint8_t buf[16384];
    ssize_t got, done, n;

    while ( (got = recv(sock, buf, sizeof(buf), 0)) > 0 )
        for ( done = 0; done < got; done += n )
        {
            n = send(sock, buf + done, got - done, MSG_NOSIGNAL);
            if ( n <= 0 )
                goto out;
        }

 out:
    close(sock);

    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in here = { .sin_family = AF_INET };
    int one = 1, sock = socket(AF_INET, SOCK_STREAM, 0);

    if ( argc != 2 )
    {
        fprintf(stderr, "usage: echoes <port>\n");
        return 1;
    }

    here.sin_port = htons(atoi(argv[1]));
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if ( bind(sock, (struct sockaddr *)&here, sizeof(here)) || listen(sock, 8) )
    {
        fprintf(stderr, "echoes: port %s: %s\n", argv[1], strerror(errno));
        return 1;
    }

    for ( ; ; )
    {
        pthread_t thread;
        const int peer = accept(sock, NULL, NULL);

        if ( peer < 0 )
            continue;
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if ( pthread_create(&thread, NULL, serve, (void *)(intptr_t)peer) )
            close(peer);
        else
            pthread_detach(thread);
    }
}
