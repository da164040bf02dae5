/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * onpty <program> [argument...]: runs a program on a terminal of its own, as a
 * user at a keyboard would.
 *
 * Happy path: what comes on standard input is typed, what the program prints goes
 * to standard output, its exit code is the exit code.  The end of standard input
 * is not passed on: a fifo may be opened for each thing that is typed.
 *
 * What can fail: no terminal, no such program (127), a signal (128 + its number).
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns false at the end of `from`. */
static int copy(int from, int to)
{
    char buf[1024];
    ssize_t len, done = 0;

    do
        len = read(from, buf, sizeof(buf));
    while ( len < 0 && errno == EINTR );

    while ( done < len )
    {
        ssize_t n = write(to, buf + done, len - done);

        if ( n > 0 )
            done += n;
        else if ( errno != EINTR )
            return 0;
    }

    return len > 0;
}

int main(int argc, char **argv)
{
    int terminal, status;
    pid_t child;

    if ( argc < 2 )
        errx(2, "usage: onpty program [argument...]");

    child = forkpty(&terminal, NULL, NULL, NULL);
    if ( child < 0 )
        err(2, "no terminal");

    if ( child == 0 )
    {
        execvp(argv[1], argv + 1);
        warn("%s", argv[1]);
        _exit(127);
    }

    for ( struct pollfd p[] = { { terminal, POLLIN, 0 }, { 0, POLLIN, 0 } }; ; )
    {
        if ( poll(p, 2, -1) < 0 )
        {
            if ( errno == EINTR )
                continue;
            err(2, "poll");
        }

        /* A terminal whose program has ended gives an error. */
        if ( p[0].revents && !copy(terminal, 1) )
            break;

        if ( p[1].revents && !copy(0, terminal) )
            p[1].fd = -1;
    }

    if ( waitpid(child, &status, 0) != child )
        err(2, "waitpid");

    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
