/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a micro-guest of any kind does all its life: it obeys lines from its console,
 *
 *     <n> set|verify|end <test> [key=value ...]
 *
 * with any number of lines "bad: ..." and then one
 *
 *     @<n> ok|bad [key=value ...]
 *
 * What can fail: a command of no sense is bad; die() ends the guest with a message.
 */
#include "micro.h"

#define MAX_BAD 10

const char *cmd_line = "";

static char line[1024], notes[1024];
static unsigned int nr_bad;

/* What vCPU 0 does while it waits for a command, if not sleep. */
void (*pastime)(void);

/* ---- Parameters and verdicts ---- */

/* Where the value of key=value starts in a text of words, or NULL. */
static const char *find(const char *text, const char *key)
{
    const size_t n = strlen(key);

    while ( *text )
    {
        while ( *text == ' ' )
            text++;
        if ( !memcmp(text, key, n) && text[n] == '=' )
            return text + n + 1;
        while ( *text && *text != ' ' )
            text++;
    }

    return NULL;
}

static uint64_t to_number(const char *s)
{
    uint64_t n = 0;

    for ( ; *s >= '0' && *s <= '9'; s++ )
        n = n * 10 + *s - '0';

    return n;
}

uint64_t arg(const char *key, uint64_t otherwise)
{
    const char *s = find(line, key);

    s = s ?: find(cmd_line, key);

    return s ? to_number(s) : otherwise;
}

bool option(const char *word)
{
    const char *s = cmd_line;
    const size_t n = strlen(word);

    for ( ; *s; s++ )
        if ( !memcmp(s, word, n) && (s[n] == ' ' || !s[n]) &&
             (s == cmd_line || s[-1] == ' ') )
            return true;

    return false;
}

/* The next number of a sequence that a seed other than 0 begins. */
uint64_t random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;

    return *seed >> 11;
}

void bad(const char *fmt, ...)
{
    char text[400];
    va_list ap;

    if ( ++nr_bad > MAX_BAD )
        return;

    va_start(ap, fmt);
    format(text, sizeof(text), fmt, ap);
    va_end(ap);
    say("bad: %s\n", text);
}

void note(const char *fmt, ...)
{
    size_t n = strlen(notes);
    va_list ap;

    if ( n + 2 >= sizeof(notes) )
        return;

    notes[n++] = ' ';
    va_start(ap, fmt);
    format(notes + n, sizeof(notes) - n, fmt, ap);
    va_end(ap);
}

void want(long rc, const char *what)
{
    if ( rc < 0 )
        bad("%s: %ld", what, rc);
}

void die(const char *fmt, ...)
{
    struct sched_shutdown crash = { .reason = SHUTDOWN_crash };
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    format(text, sizeof(text), fmt, ap);
    va_end(ap);
    console_seize();
    say("micro: died: %s\n", text);

    /* xenconsoled shall have had it before it sees the domain's end. */
    poll(console_port(), now() + 200 * MS);
    for ( ; ; )
        hc_sched(SCHEDOP_shutdown, &crash);
}

/* ---- Commands ---- */

static bool word_is(const char **s, const char *word)
{
    const size_t n = strlen(word);

    if ( memcmp(*s, word, n) || ((*s)[n] && (*s)[n] != ' ') )
        return false;

    *s += n + ((*s)[n] == ' ');

    return true;
}

static void run(const char *s)
{
    static const char *const verbs[] = { "set", "verify", "end" };
    unsigned int verb, i;

    for ( verb = 0; verb < ARRAY_SIZE(verbs); verb++ )
        if ( word_is(&s, verbs[verb]) )
            break;

    for ( i = 0; verb < ARRAY_SIZE(verbs) && i < nr_tests; i++ )
        if ( word_is(&s, tests[i]->name) )
        {
            void (*const fn[])(void) = { tests[i]->set, tests[i]->verify,
                                         tests[i]->end };

            if ( fn[verb] )
                fn[verb]();
            return;
        }

    bad("no such command: %s", line);
}

static void obey(void)
{
    const char *s = line;
    uint64_t n = to_number(s);

    while ( *s && *s != ' ' )
        s++;
    while ( *s == ' ' )
        s++;

    nr_bad = 0;
    notes[0] = '\0';
    run(s);
    if ( nr_bad )
        say("@%lu bad errors=%u%s\n", n, nr_bad, notes);
    else
        say("@%lu ok%s\n", n, notes);
}

static void read_line(void)
{
    size_t n = 0;
    char c;

    for ( ; ; )
    {
        if ( !console_getc(&c) )
        {
            port_clear(console_port());
            if ( !console_getc(&c) )
            {
                if ( pastime )
                    pastime();
                else
                    poll(console_port(), 0);
                continue;
            }
        }

        if ( c == '\n' || c == '\r' )
        {
            line[n] = '\0';
            if ( n )
                return;
        }
        else if ( n < sizeof(line) - 1 )
            line[n++] = c;
    }
}

void obey_for_ever(void)
{
    for ( ; ; )
    {
        read_line();
        obey();
    }
}
