/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * luquery: KEXEC_CMD_kexec_live_update without libxc in between.
 *
 *   luquery check | abort                 what Xen answers
 *   luquery status                        "name value" lines
 *   luquery reports                       "<domid> <blocker?> <errno> <feature>: <text>"
 *   luquery records                       "<type> <min> <max> <written> <name>"
 *   luquery gaps                          "<domid> <ns>"
 *   luquery losses                        "<name> <allowed?> <text>"
 *   luquery allow <name>                  what Xen answers
 *   luquery dump <file>                   the last stream; prints its bytes
 *   luquery unload                        what Xen answers: unloads, drops the stream
 *   luquery raw <op> <index> <reserved>   any argument
 *   luquery pointer                       an argument that is no memory
 *
 * Exit code 0; 1 if Xen refuses, which is said as "luquery: <what>: <errno> <text>"; 2 if
 * this program could not get that far.  For dom0, and for guests to be refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../../xen/include/public/liveupdate_op.h"
#include "privcmd.h"

#define HYPERCALL_KEXEC 37
#define KEXEC_CMD_UNLOAD 5
#define TYPE_LIVE_UPDATE 2

static int privcmd;
static struct xen_live_update *arg;

static long call(uint32_t op, uint32_t index, uint64_t reserved)
{
    struct privcmd_call c = {
        HYPERCALL_KEXEC, { KEXEC_CMD_kexec_live_update, (uintptr_t)arg }
    };

    memset(arg, 0, sizeof(*arg));
    arg->op = op;
    arg->index = index;
    arg->reserved = reserved;

    return ioctl(privcmd, PRIVCMD_CALL, &c);
}

static int refused(const char *what)
{
    printf("luquery: %s: %d %s\n", what, errno, strerror(errno));

    return 1;
}

static void version(const char *name, const struct xen_live_update_version *v)
{
    uint32_t i;

    printf("%s %u.%u%s ", name, v->xen_major, v->xen_minor, v->extraversion);
    for ( i = 0; i < v->build_id_len && i < sizeof(v->build_id); i++ )
        printf("%02x", v->build_id[i]);
    putchar('\n');
}

static int status(void)
{
    const struct xen_live_update_status *s = &arg->u.status;

    if ( call(XEN_LIVE_UPDATE_status, 0, 0) )
        return refused("status");

#define U(f) printf(#f " %" PRIu64 "\n", (uint64_t)s->f)
    U(flags); U(last_op); U(last_error); U(attempt); U(nr_reports);
    U(lost_reports); U(nr_domains); U(updates); U(kept_pages); U(paused_ns);
    U(freeze_ns); U(save_ns); U(jump_ns); U(boot_ns); U(restore_ns);
    U(release_ns); U(zone_start); U(zone_size); U(region_size); U(slot_size);
    U(wait_ms); U(dump_bytes); U(dump_pages);
#undef U
    version("running", &s->running);
    version("loaded", &s->loaded);
    version("previous", &s->previous);

    return 0;
}

static int gaps(void)
{
    uint32_t i;

    for ( i = 0; !call(XEN_LIVE_UPDATE_gap, i, 0); i++ )
        printf("%u %" PRIu64 "\n", arg->u.gap.domid, arg->u.gap.gap_ns);

    return errno == ENOENT ? 0 : refused("gaps");
}

static int losses(void)
{
    const struct xen_live_update_loss *l = &arg->u.loss;
    uint32_t i;

    for ( i = 0; !call(XEN_LIVE_UPDATE_loss, i, 0); i++ )
        printf("%s %u %s\n", l->name, l->allowed, l->text);

    return errno == ENOENT ? 0 : refused("losses");
}

static int allow(const char *name)
{
    struct privcmd_call c = {
        HYPERCALL_KEXEC, { KEXEC_CMD_kexec_live_update, (uintptr_t)arg }
    };

    memset(arg, 0, sizeof(*arg));
    arg->op = XEN_LIVE_UPDATE_allow;
    /* On purpose without an end if it is too long. */
    memcpy(arg->u.loss.name, name,
           strlen(name) < sizeof(arg->u.loss.name)
           ? strlen(name) : sizeof(arg->u.loss.name));

    return ioctl(privcmd, PRIVCMD_CALL, &c) ? refused("allow") : 0;
}

static int dump(const char *path)
{
    FILE *out = fopen(path, "w");
    uint64_t done = 0;
    uint32_t i;

    if ( !out )
    {
        perror(path);
        return 2;
    }
    for ( i = 0; !call(XEN_LIVE_UPDATE_dump, i, 0); i++ )
        done += fwrite(arg->u.dump.data, 1, arg->u.dump.len, out);
    if ( errno != ENOENT || !done )
        return refused("dump");
    printf("%" PRIu64 "\n", done);

    return fclose(out) ? 2 : 0;
}

static int unload(void)
{
    struct privcmd_call c = {
        HYPERCALL_KEXEC, { KEXEC_CMD_UNLOAD, (uintptr_t)arg }
    };

    memset(arg, 0, sizeof(*arg));
    *(uint8_t *)arg = TYPE_LIVE_UPDATE;

    return ioctl(privcmd, PRIVCMD_CALL, &c) ? refused("unload") : 0;
}

static int list(uint32_t op)
{
    const struct xen_live_update_report *r = &arg->u.report;
    const struct xen_live_update_record *e = &arg->u.record;
    uint32_t i;

    for ( i = 0; !call(op, i, 0); i++ )
        if ( op == XEN_LIVE_UPDATE_report )
            printf("%u %u %u %s: %s\n", r->domid,
                   r->flags & XEN_LIVE_UPDATE_R_BLOCKER, r->error, r->feature,
                   r->text);
        else
            printf("%#x %u %u %u %s\n", e->type, e->min_version,
                   e->max_version, e->written, e->name);

    return errno == ENOENT ? 0 : refused("list");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    arg = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if ( privcmd < 0 || arg == MAP_FAILED )
    {
        perror("luquery");
        return 2;
    }

    if ( !strcmp(what, "check") )
        return call(XEN_LIVE_UPDATE_check, 0, 0) ? refused(what) : 0;
    if ( !strcmp(what, "abort") )
        return call(XEN_LIVE_UPDATE_abort, 0, 0) ? refused(what) : 0;
    if ( !strcmp(what, "status") )
        return status();
    if ( !strcmp(what, "reports") )
        return list(XEN_LIVE_UPDATE_report);
    if ( !strcmp(what, "records") )
        return list(XEN_LIVE_UPDATE_record);
    if ( !strcmp(what, "gaps") )
        return gaps();
    if ( !strcmp(what, "losses") )
        return losses();
    if ( !strcmp(what, "allow") && argc == 3 )
        return allow(argv[2]);
    if ( !strcmp(what, "dump") && argc == 3 )
        return dump(argv[2]);
    if ( !strcmp(what, "unload") )
        return unload();
    if ( !strcmp(what, "raw") && argc == 5 )
        return call(strtoul(argv[2], NULL, 0), strtoul(argv[3], NULL, 0),
                    strtoull(argv[4], NULL, 0)) ? refused(what) : 0;
    if ( !strcmp(what, "pointer") )
    {
        struct privcmd_call c = {
            HYPERCALL_KEXEC, { KEXEC_CMD_kexec_live_update, 0xdead0000 }
        };

        return ioctl(privcmd, PRIVCMD_CALL, &c) ? refused(what) : 0;
    }

    fprintf(stderr, "usage: luquery check|abort|status|reports|records|gaps|losses|unload|pointer\n"
                    "       luquery allow <name> | dump <file>\n"
                    "       luquery raw <op> <index> <reserved>\n");

    return 2;
}
