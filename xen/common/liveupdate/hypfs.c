/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /live-update/ in hypfs: what tools may ask (status.c), for those that only
 * read files.
 *
 * Each node is made when it is entered, of the answers to the same questions
 * that KEXEC_CMD_kexec_live_update has.  Paths and contents are documented in
 * docs/misc/live-update-hypfs.md.  Happy path: text or number is put into the
 * buffer that hypfs has for the node being read, whose size is then known.
 *
 * What can fail: another kexec hypercall is under way, such as a load, -EBUSY;
 * no memory for the buffer, -ENOMEM.
 */
#include <xen/err.h>
#include <xen/guest_access.h>
#include <xen/hypfs.h>
#include <xen/init.h>
#include <xen/liveupdate.h>

#include "internal.h"

#define DIR(var, name) static HYPFS_DIR_INIT(var, name)

DIR(top, "live-update");
DIR(running, "running");
DIR(loaded, "loaded");
DIR(previous, "previous");
DIR(paused, "paused");
DIR(last, "last");
DIR(dump, "dump");

static struct hypfs_entry_dir *const dirs[] = {
    &running, &loaded, &previous, &paused, &last, &dump,
};

enum what {
    FACT_NUMBER, FACT_STATE, FACT_VERSION, FACT_BUILD_ID, FACT_OPERATION,
    FACT_REPORTS, FACT_GAPS,
};

struct fact {
    struct hypfs_entry_leaf leaf;
    struct hypfs_entry_dir *dir;
    enum what what;
    bool wide;                  /* of 64 bits, not of 32 */
    unsigned int offset;        /* in struct xen_live_update_status */
};

struct content {
    unsigned int size;          /* bytes that are valid */
    unsigned int room;          /* for text and its end */
    union {
        uint64_t number;
        char text[1];
    };
};

static const struct hypfs_funcs node_funcs;

#define LEAF(d, nm, w, off, ...) {                                      \
    .leaf.e.type = (w) == FACT_NUMBER ? XEN_HYPFS_TYPE_UINT             \
                                      : XEN_HYPFS_TYPE_STRING,          \
    .leaf.e.encoding = XEN_HYPFS_ENC_PLAIN,                             \
    .leaf.e.name = (nm), .leaf.e.funcs = &node_funcs,                   \
    .leaf.u.content = "", .dir = (d), .what = (w), .offset = (off),     \
    ## __VA_ARGS__ }
#define FIELD(f) offsetof(struct xen_live_update_status, f)
#define COUNT(d, nm, f) LEAF(d, nm, FACT_NUMBER, FIELD(f),              \
    .wide = sizeof(((struct xen_live_update_status *)0)->f) == 8)

static struct fact facts[] = {
    LEAF(&top, "state", FACT_STATE, 0),
    COUNT(&top, "updates", updates),
    COUNT(&top, "domains", nr_domains),
    LEAF(&top, "gaps", FACT_GAPS, 0),
    LEAF(&running, "version", FACT_VERSION, FIELD(running)),
    LEAF(&running, "build-id", FACT_BUILD_ID, FIELD(running)),
    LEAF(&loaded, "version", FACT_VERSION, FIELD(loaded)),
    LEAF(&loaded, "build-id", FACT_BUILD_ID, FIELD(loaded)),
    LEAF(&previous, "version", FACT_VERSION, FIELD(previous)),
    LEAF(&previous, "build-id", FACT_BUILD_ID, FIELD(previous)),
    COUNT(&paused, "total", paused_ns),
    COUNT(&paused, "freeze", freeze_ns),
    COUNT(&paused, "save", save_ns),
    COUNT(&paused, "jump", jump_ns),
    COUNT(&paused, "boot", boot_ns),
    COUNT(&paused, "restore", restore_ns),
    COUNT(&paused, "release", release_ns),
    LEAF(&last, "operation", FACT_OPERATION, 0),
    COUNT(&last, "error", last_error),
    LEAF(&last, "reports", FACT_REPORTS, 0),
    COUNT(&dump, "bytes", dump_bytes),
    COUNT(&dump, "pages", dump_pages),
};

static void __attribute__((format(printf, 2, 3)))
put(struct content *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    c->size += vscnprintf(c->text + c->size, c->room - c->size, fmt, args);
    va_end(args);
}

static const char *state(const struct xen_live_update_status *s)
{
    return !(s->flags & XEN_LIVE_UPDATE_F_ENABLED) ? "off"
           : s->flags & XEN_LIVE_UPDATE_F_WAITING ? "waiting"
           : s->flags & XEN_LIVE_UPDATE_F_LOADED ? "loaded" : "ready";
}

/* One in a line, as in the log.  0, or -EBUSY somewhere on the way. */
static int reports(struct content *c)
{
    struct xen_live_update q = { .op = XEN_LIVE_UPDATE_report };
    const struct xen_live_update_report *r = &q.u.report;
    int rc;

    for ( ; !(rc = lu_query_now(&q)); q.index++ )
    {
        put(c, "%s%s", c->size ? "\n" : "", lu_report_prefix(r->flags));
        if ( r->domid != DOMID_INVALID )
            put(c, "d%u: ", r->domid);
        put(c, "%s (%d)", r->text, -(int)r->error);
    }

    return rc == -ENOENT ? 0 : rc;
}

/* "d<domid> <ns>", one in a line.  0 or -EBUSY, as above. */
static int gaps(struct content *c)
{
    struct xen_live_update q = { .op = XEN_LIVE_UPDATE_gap };
    int rc;

    for ( ; !(rc = lu_query_now(&q)); q.index++ )
        put(c, "%sd%u %lu", c->size ? "\n" : "", q.u.gap.domid,
            q.u.gap.gap_ns);

    return rc == -ENOENT ? 0 : rc;
}

static unsigned int room_of(enum what what)
{
    switch ( what )
    {
    case FACT_REPORTS:
        return LU_NR_REPORTS * (sizeof(struct xen_live_update_report) + 32);

    case FACT_GAPS:
        return (lu_progress.from.nr_domains + 1) * 32;

    default:
        return 128;
    }
}

static const struct hypfs_entry *cf_check node_enter(
    const struct hypfs_entry *entry)
{
    static const char *const operations[] = {
        [XEN_LIVE_UPDATE_OP_none] = "none",
        [XEN_LIVE_UPDATE_OP_load] = "load",
        [XEN_LIVE_UPDATE_OP_check] = "check",
        [XEN_LIVE_UPDATE_OP_exec] = "execute",
    };
    const struct fact *n = container_of(entry, const struct fact, leaf.e);
    struct xen_live_update q = { .op = XEN_LIVE_UPDATE_status };
    const struct xen_live_update_status *s = &q.u.status;
    const void *field = (const void *)s + n->offset;
    const struct xen_live_update_version *v = field;
    const unsigned int room = room_of(n->what);
    struct content *c;
    int rc = lu_query_now(&q);

    if ( rc )
        return ERR_PTR(rc);

    /* Not the macro of that name, which wants a type. */
    c = (hypfs_alloc_dyndata)(sizeof(*c) + room);
    if ( !c )
        return ERR_PTR(-ENOMEM);
    c->room = room;

    switch ( n->what )
    {
    case FACT_NUMBER:
        c->number = n->wide ? *(const uint64_t *)field
                            : *(const uint32_t *)field;
        c->size = sizeof(c->number);
        return entry;

    case FACT_STATE:
        put(c, "%s", state(s));
        break;

    case FACT_VERSION:
        if ( v->xen_major )
            put(c, "%u.%u%s", v->xen_major, v->xen_minor, v->extraversion);
        break;

    case FACT_BUILD_ID:
        if ( v->build_id_len )
            put(c, "%*phN", (int)v->build_id_len, v->build_id);
        break;

    case FACT_OPERATION:
        put(c, "%s", s->last_op < ARRAY_SIZE(operations)
                     ? operations[s->last_op] : "?");
        break;

    case FACT_REPORTS:
        rc = reports(c);
        break;

    case FACT_GAPS:
        rc = gaps(c);
        break;
    }

    if ( rc )
    {
        hypfs_free_dyndata();
        return ERR_PTR(rc);
    }

    /* Its end is there already. */
    c->size++;

    return entry;
}

static void cf_check node_exit(const struct hypfs_entry *entry)
{
    hypfs_free_dyndata();
}

static int cf_check node_read(const struct hypfs_entry *entry,
                              XEN_GUEST_HANDLE_PARAM(void) uaddr)
{
    const struct content *c = hypfs_get_dyndata();

    return copy_to_guest(uaddr, c->text, c->size) ? -EFAULT : 0;
}

static unsigned int cf_check node_size(const struct hypfs_entry *entry)
{
    const struct content *c = hypfs_get_dyndata();

    return c->size;
}

static const struct hypfs_funcs node_funcs = {
    .enter = node_enter,
    .exit = node_exit,
    .read = node_read,
    .write = hypfs_write_deny,
    .getsize = node_size,
    .findentry = hypfs_leaf_findentry,
};

static int __init cf_check add_nodes(void)
{
    unsigned int i;

    hypfs_add_dir(&hypfs_root, &top, true);
    for ( i = 0; i < ARRAY_SIZE(dirs); i++ )
        hypfs_add_dir(&top, dirs[i], true);
    for ( i = 0; i < ARRAY_SIZE(facts); i++ )
        hypfs_add_leaf(facts[i].dir, &facts[i].leaf, true);

    return 0;
}
__initcall(add_nodes);
