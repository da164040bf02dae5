/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xl live-update: check, do, report.
 *
 * Happy path: the image is loaded, which Xen judges, and executed, which comes back in
 * the new Xen; what it replaced and how long the domains stood still is printed.  With
 * -n it is checked in place of executed.
 *
 * What can fail: Xen refuses, exit code 1: its reasons are printed, nothing has changed
 * and nothing stays loaded.  So it is if another one is under way.  A wrong command
 * line, 2.  Anything else, 3: no privilege, no such file, no hypervisor with live
 * update.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_json.h>
#include <libxl_utils.h>
#include <libxlutil.h>

#include "xl.h"
#include "xl_parse.h"
#include "xl_utils.h"

#ifdef LIBXL_HAVE_LIVE_UPDATE

#define LOCK_FILE XEN_LOCK_DIR "/xl-live-update"
#define NOTHING_CHANGED "Refused, nothing was changed.\n"

enum { UPDATED = 0, REFUSED = 1, USAGE = 2, FAILED = 3 };

static int exit_code(int rc)
{
    return !rc ? UPDATED : rc == ERROR_LIVE_UPDATE_REFUSED ? REFUSED : FAILED;
}

static void print_version(FILE *out, const libxl_live_update_version *v)
{
    fprintf(out, "Xen %u.%u%s (build %.12s)", v->major, v->minor,
            v->extraversion, v->build_id[0] ? v->build_id : "unknown");
}

static double ms(uint64_t ns)
{
    return ns / 1e6;
}

static void print_times(FILE *out, const libxl_live_update_times *t)
{
    fprintf(out, "%.1f ms: freeze %.1f, save %.1f, jump %.1f, boot %.1f, restore %.1f, release %.1f\n",
            ms(t->paused), ms(t->freeze), ms(t->save), ms(t->jump), ms(t->boot),
            ms(t->restore), ms(t->release));
}

static void print_gaps(const char *label, const libxl_live_update_info *info)
{
    int i;

    for (i = 0; i < info->num_gaps; i++)
        printf("%sd%d: %.1f ms\n", label, info->gaps[i].domid,
               ms(info->gaps[i].gap));
}

static void print_reports(FILE *out, const char *indent,
                          const libxl_live_update_info *info)
{
    int i;

    for (i = 0; i < info->num_reports; i++) {
        const libxl_live_update_report *r = &info->reports[i];

        if (r->lost) {
            fprintf(out, "%swill be lost: %s\n", indent, r->text);
            continue;
        }
        fprintf(out, "%s%s", indent, r->blocker ? "blocked by " : "");
        if (r->domid >= 0)
            fprintf(out, "d%d: ", r->domid);
        fprintf(out, "%s (%s%s)\n", r->text, strerror(r->error),
                r->transient ? "; may pass by itself" : "");
    }
    if (info->lost_reports)
        fprintf(out, "%sand %u more\n", indent, info->lost_reports);
}

static void print_status(const libxl_live_update_info *info, int verbose)
{
    int i;

    printf("running   ");
    print_version(stdout, &info->running);
    printf("\nupdates   %"PRIu64"\n", info->updates);
    if (info->updates) {
        printf("replaced  ");
        print_version(stdout, &info->previous);
        printf(", %u domains, %"PRIu64" MiB kept\npaused    ", info->domains,
               info->kept_kb >> 10);
        print_times(stdout, &info->times);
        print_gaps("gap       ", info);
    }
    if (info->enabled)
        printf("zone      %"PRIu64" MiB at %#"PRIx64"\n",
               info->zone_size >> 20, info->zone_start);
    else
        printf("zone      none: boot Xen with liveupdate=<size>\n");
    printf("loaded    ");
    if (info->is_loaded)
        print_version(stdout, &info->loaded);
    else
        printf("nothing");
    printf("%s\n", info->loaded_debug ? ", a debug build" : "");
    if (info->waiting)
        printf("waiting   for a domain that is being destroyed, up to %"PRIu64" ms\n",
               info->wait_ms);
    if (info->dump_kb)
        printf("dump      %"PRIu64" KiB of stream in %"PRIu64" KiB of Xen's memory, until the next load or --unload\n",
               (info->dump_bytes + 1023) >> 10, info->dump_kb);
    printf("last      %s", libxl_live_update_attempt_to_string(info->last));
    if (info->last)
        printf(": %s", info->last_error ? strerror(info->last_error)
                                        : "no objection");
    printf("\n");
    print_reports(stdout, "          ", info);

    if (!verbose)
        return;
    for (i = 0; i < info->num_losses; i++)
        printf("may lose  %s: %s\n", info->losses[i].name, info->losses[i].text);
    for (i = 0; i < info->num_records; i++) {
        const libxl_live_update_record *r = &info->records[i];

        printf("reads     %#x %s version %u to %u", r->type, r->name,
               r->min_version, r->max_version);
        if (r->written)
            printf(", written: %u", r->written);
        printf("\n");
    }
}

/* 0, or what to exit with. */
static int get_info(libxl_live_update_info *info)
{
    libxl_live_update_info_dispose(info);
    libxl_live_update_info_init(info);

    return libxl_get_live_update_info(ctx, info) ? FAILED : 0;
}

static int print_json(libxl_live_update_info *info)
{
    char *text = libxl_live_update_info_to_json(ctx, info);

    if (!text) {
        fprintf(stderr, "unable to make JSON of it\n");
        return FAILED;
    }
    printf("%s", text);
    free(text);

    return 0;
}

/* The last stream to a file that only its owner may read; what to exit with. */
static int dump(const libxl_live_update_info *info, const char *path)
{
    struct stat st = {};
    int fd, rc;

    if (!info->dump_bytes) {
        fprintf(stderr, "There is no stream (any more): no update yet, or an image was loaded or unloaded since.\n");
        return REFUSED;
    }

    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return FAILED;
    }
    /* It may have been there, for more to read. */
    rc = fstat(fd, &st) || (S_ISREG(st.st_mode) && fchmod(fd, 0600));
    if (rc)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    else
        rc = libxl_live_update_dump(ctx, fd);
    if (close(fd) && !rc) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        rc = -1;
    }
    if (rc && S_ISREG(st.st_mode))
        unlink(path);

    return rc ? FAILED : 0;
}

/*
 * Two at a time would unload each other's image, and take each other's findings for
 * their own.  Until the process ends, and at the cost of some of the seconds to wait; 0,
 * or what to exit with.
 */
static int be_alone(unsigned long *wait)
{
    struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", LOCK_FILE, strerror(errno));
        return FAILED;
    }

    while (fcntl(fd, F_SETLK, &all)) {
        if (errno != EACCES && errno != EAGAIN) {
            fprintf(stderr, "%s: %s\n", LOCK_FILE, strerror(errno));
            return FAILED;
        }
        if (!*wait) {
            fprintf(stderr, "another xl live-update is under way (%s; may pass by itself)\n"
                    NOTHING_CHANGED, strerror(EBUSY));
            return REFUSED;
        }
        --*wait;
        sleep(1);
    }

    return 0;
}

/* Names with commas in between; 0, or what to exit with. */
static int check_losses(const libxl_live_update_info *info, char **names)
{
    int i, j;

    for (i = 0; names[i]; i++) {
        for (j = 0; j < info->num_losses; j++)
            if (!strcmp(names[i], info->losses[j].name))
                break;
        if (j < info->num_losses)
            continue;
        fprintf(stderr, "--allow-loss: Xen does not let '%s' be lost, only:", names[i]);
        for (j = 0; j < info->num_losses; j++)
            fprintf(stderr, " %s", info->losses[j].name);
        fprintf(stderr, "\n");
        return USAGE;
    }

    return 0;
}

/* Loads and checks or executes; what to exit with. */
static int update(libxl_live_update_info *info, const char *image,
                  const char *cmdline, char **losses, int dryrun,
                  unsigned int wait, int say)
{
    const uint64_t updates = info->updates;
    int rc = 0, unload = 1, i;

    if (image) {
        if (say)
            fprintf(stderr, "Loading %s.\n", image);
        rc = libxl_live_update_load(ctx, image, cmdline);
    }
    for (i = 0; !rc && losses && losses[i]; i++)
        rc = libxl_live_update_allow_loss(ctx, losses[i]);
    if (!rc && dryrun) {
        if (say)
            fprintf(stderr, "Checking.\n");
        rc = libxl_live_update_check(ctx);
        if (losses && libxl_live_update_allow_loss(ctx, NULL))
            rc = ERROR_FAIL;
        unload = !!image;
    } else if (!rc) {
        if (say)
            fprintf(stderr, "Updating.\n");
        rc = libxl_live_update_execute(ctx, wait * 1000, NULL);
        unload = rc;
    }

    if (get_info(info))
        return FAILED;
    if (unload && libxl_live_update_unload(ctx))
        return FAILED;
    /* Somebody else may have updated meanwhile, too. */
    if (!rc && !dryrun && info->updates <= updates) {
        fprintf(stderr, "Xen has refused nothing and was not replaced.\n");
        return FAILED;
    }

    return exit_code(rc);
}

static void print_result(const libxl_live_update_info *info, int code,
                         int dryrun)
{
    if (code == REFUSED) {
        print_reports(stderr, "", info);
        fprintf(stderr, NOTHING_CHANGED);
    } else if (code == UPDATED && dryrun) {
        print_reports(stdout, "", info);
        printf("Nothing stands against an update%s",
               info->is_loaded ? " to " : ", as far as can be told without an image");
        if (info->is_loaded)
            print_version(stdout, &info->loaded);
        printf(".\n");
    } else if (code == UPDATED) {
        print_version(stdout, &info->previous);
        printf(" replaced by ");
        print_version(stdout, &info->running);
        printf(", %u domains, %"PRIu64" MiB kept\nPaused ", info->domains,
               info->kept_kb >> 10);
        print_times(stdout, &info->times);
        print_gaps("Gap of ", info);
    }
}

int main_live_update(int argc, char **argv)
{
    static const struct option opts[] = {
        {"dryrun", 0, 0, 'n'},
        {"cmdline", 1, 0, 'c'},
        {"wait", 1, 0, 'w'},
        {"verbose", 0, 0, 'v'},
        {"json", 0, 0, 'j'},
        {"status", 0, 0, 's'},
        {"unload", 0, 0, 'u'},
        {"abort", 0, 0, 'a'},
        {"dump", 1, 0, 'd'},
        {"allow-loss", 1, 0, 'l'},
        COMMON_LONG_OPTS
    };
    libxl_live_update_info info;
    int opt, verbose = 0, json = 0, what = 0, code;
    int dryrun = dryrun_only;
    const char *cmdline = NULL, *image = NULL, *file = NULL;
    unsigned long wait = 0;
    libxl_string_list losses = NULL;
    char *end;

    SWITCH_FOREACH_OPT(opt, "nc:w:vjsuad:l:", opts, "live-update", 0) {
    case 'n':
        dryrun = 1;
        break;
    case 'c':
        cmdline = optarg;
        break;
    case 'w':
        wait = strtoul(optarg, &end, 10);
        if (*end || end == optarg || wait > 24 * 3600) {
            fprintf(stderr, "--wait: want seconds, up to a day\n");
            return USAGE;
        }
        break;
    case 'l':
        if (!optarg[strspn(optarg, ",")]) {
            fprintf(stderr, "--allow-loss: want names, with commas in between\n");
            return USAGE;
        }
        libxl_string_list_dispose(&losses);
        split_string_into_string_list(optarg, ",", &losses);
        break;
    case 'v':
        verbose = 1;
        break;
    case 'j':
        json = 1;
        break;
    case 's':
    case 'u':
    case 'a':
    case 'd':
        if (what) {
            fprintf(stderr, "one of --status, --unload, --abort, --dump\n");
            return USAGE;
        }
        what = opt;
        file = optarg;
        break;
    }

    if (optind < argc)
        image = argv[optind];
    if (argc - optind > 1 || (what && (image || cmdline || wait || losses)) ||
        (cmdline && !image) || (!what && !image && !dryrun)) {
        help("live-update");
        return USAGE;
    }

    libxl_live_update_info_init(&info);
    code = what == 'u' || !what ? be_alone(&wait) : 0;
    if (code)
        goto out;
    code = get_info(&info);

    if (!code && what == 'u')
        code = exit_code(dryrun ? 0 : libxl_live_update_unload(ctx));
    else if (!code && what == 'a') {
        int rc = dryrun ? 0 : libxl_live_update_abort(ctx);

        if (rc == ERROR_INVAL)
            fprintf(stderr, "No update waits.\n");
        code = rc == ERROR_INVAL ? REFUSED : exit_code(rc);
    } else if (!code && what == 'd') {
        code = dump(&info, file);
    } else if (!code && !what) {
        code = losses ? check_losses(&info, losses) : 0;
        if (code)
            goto out;
        code = update(&info, image, cmdline, losses, dryrun, wait,
                      verbose || (!json && isatty(STDERR_FILENO)));
        if (!json)
            print_result(&info, code, dryrun);
    }

    if (!what || what == 's') {
        if (json && code <= REFUSED && print_json(&info))
            code = FAILED;
        else if (!json && !code && what)
            print_status(&info, verbose);
    }
out:
    libxl_live_update_info_dispose(&info);
    libxl_string_list_dispose(&losses);

    return code;
}

#endif

/*
 * Local variables:
 * mode: C
 * c-basic-offset: 4
 * indent-tabs-mode: nil
 * End:
 */
