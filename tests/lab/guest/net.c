/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net: does a TCP connection live on, with every byte in its place?
 *
 *     net -a <address> -p <port> [-i <interface>] [-r <KiB/s>]   default 256
 *
 * Sends a pattern that depends on the position in the stream to a server that
 * sends it back (lablib/echo.py), and checks what returns.  At most WINDOW bytes
 * are under way, some of them sent each half of -s.  A wrong byte, a connection that
 * ends or is reset, or silence for a minute is an error; the longest silence is a
 * figure (`max_ms`).  -i ties the connection to one interface.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "witness.h"

#define WINDOW (64UL << 10)

static const char *address, *interface;
static unsigned int port;
static unsigned long rate = 256;
static uint64_t sent, received;
static int64_t max_silence;
static int sock;

static uint8_t pattern(uint64_t at)
{
    uint64_t x = at / 8 * 0x9e3779b97f4a7c15ULL;

    return x >> (at % 8 * 8);
}

static void push(void)
{
    static uint8_t buf[8192];
    uint64_t due = (w_now() - w_started) / MS * (rate << 10) / 1000;
    uint64_t n = sizeof(buf);
    ssize_t done;

    if ( sent >= due || sent - received >= WINDOW )
        return;
    if ( n > due - sent )
        n = due - sent;
    if ( n > WINDOW - (sent - received) )
        n = WINDOW - (sent - received);
    for ( uint64_t i = 0; i < n; i++ )
        buf[i] = pattern(sent + i);
    done = send(sock, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if ( done > 0 )
        sent += done;
    else if ( errno != EAGAIN && errno != EINTR )
    {
        w_error("send after %llu bytes: %s", (unsigned long long)sent,
                strerror(errno));
        w_stop = 1;
    }
}

/* Returns whether anything came. */
static bool pull(void)
{
    static uint8_t buf[8192];
    ssize_t n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT);

    if ( n < 0 && (errno == EAGAIN || errno == EINTR) )
        return false;
    if ( n <= 0 )
    {
        w_error("connection ended after %llu bytes: %s",
                (unsigned long long)received, n ? strerror(errno) : "closed");
        w_stop = 1;
        return false;
    }
    for ( ssize_t i = 0; i < n; i++, received++ )
        if ( buf[i] != pattern(received) ||
             (w_break && received == 100000) )
        {
            w_error("byte %llu is %#x, want %#x", (unsigned long long)received,
                    buf[i], pattern(received));
            w_stop = 1;
            return false;
        }
    return true;
}

static void *worker(void *arg)
{
    const struct timespec wait = { .tv_nsec = w_slice / 2 };
    int64_t heard = w_now(), pushed = 0;

    (void)arg;
    while ( !w_stop )
    {
        struct pollfd p = { .fd = sock, .events = POLLIN };
        int64_t now = w_now();

        if ( sent == received )
            heard = now;
        /* Not with each answer: then packets would be as many as the host can take. */
        if ( now - pushed >= wait.tv_nsec )
        {
            push();
            pushed = now;
        }
        ppoll(&p, 1, &wait, NULL);
        now = w_now();
        if ( p.revents && pull() )
        {
            w_stood_still(now - heard);
            if ( now - heard > max_silence )
                max_silence = now - heard;
            heard = now;
        }
        else if ( sent == received )
            w_stood_still(now - heard - wait.tv_nsec);
        if ( now - heard > 60 * SEC )
        {
            w_error("no answer for %lld s, %llu bytes sent, %llu returned",
                    (long long)((now - heard) / SEC), (unsigned long long)sent,
                    (unsigned long long)received);
            heard = now;
        }
    }

    return NULL;
}

static void fields(void)
{
    printf(" sent=%llu received=%llu max_ms=%.3f", (unsigned long long)sent,
           (unsigned long long)received, max_silence / 1e6);
}

static void option(int c, const char *arg)
{
    if ( c == 'a' )
        address = arg;
    else if ( c == 'p' )
        port = atoi(arg);
    else if ( c == 'i' )
        interface = arg;
    else if ( c == 'r' )
        rate = strtoul(arg, NULL, 0);
}

int main(int argc, char **argv)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    pthread_t thread;
    int one = 1;

    w_init("net", argc, argv, "a:p:i:r:", option);
    if ( !address || !inet_aton(address, &to.sin_addr) )
        w_fatal("-a: want an IPv4 address");
    if ( !port || port > 65535 )
        w_fatal("-p: want a port");
    if ( !rate )
        w_fatal("-r 0");
    to.sin_port = htons(port);
    sock = socket(AF_INET, SOCK_STREAM, 0);
    if ( interface && setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, interface,
                                 strlen(interface)) )
        w_fatal("-i %s: %s", interface, strerror(errno));
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if ( connect(sock, (struct sockaddr *)&to, sizeof(to)) )
        w_fatal("%s port %u: %s", address, port, strerror(errno));
    w_started = w_now();
    if ( pthread_create(&thread, NULL, worker, NULL) )
        w_fatal("cannot start a thread");
    w_wait(fields);
    pthread_join(thread, NULL);
    return w_finish(fields);
}
