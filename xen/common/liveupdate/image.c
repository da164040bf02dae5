/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Inspecting a loaded image: is this a Xen that can take over this host?
 *
 * Happy path: every segment lies in the region or in the free slot; the slot
 * holds exactly one capability note, and the note reads every record this Xen
 * writes; the region holds one multiboot2 information block, whose command line
 * ends in our own liveupdate=<size>@<addr> and otherwise differs from the
 * running Xen's only in options that cannot matter to the domains; and nothing
 * else that the note tells of the build would make it panic here (fits.c).
 *
 * What can fail: any of that.  The load is refused with an errno and one line
 * that names what is wrong; nothing has been paused and nothing is loaded.
 */
#include <xen/guest_access.h>
#include <xen/kexec.h>
#include <xen/lib.h>
#include <xen/liveupdate.h>
#include <xen/mm.h>
#include <xen/nospec.h>
#include <xen/version.h>
#include <xen/xxhash.h>

#include <public/version.h>

#include "internal.h"

extern xen_commandline_t saved_cmdline;

/* ---- Segments -------------------------------------------------------------- */

static bool inside(paddr_t s, uint64_t size, paddr_t zs, uint64_t zsize)
{
    return s >= zs && size <= zsize && s - zs <= zsize - size;
}

/*
 * Before anything is copied: segments with contents only go where images may
 * go.  Those without are identity mappings for purgatory, of low memory.
 */
int lu_check_segments(paddr_t entry, unsigned int nr,
                      const xen_kexec_segment_t *seg)
{
    xen_kexec_range_t region, slot;
    unsigned int i;

    if ( lu_kexec_region(&region) || !lu_kexec_xen(&slot) )
        return -ENODEV;

    /* The breadcrumb's page is not for segments. */
    region.start += PAGE_SIZE;
    region.size -= PAGE_SIZE;

    if ( !inside(entry, 1, region.start, region.size) )
        return lu_error(-EADDRNOTAVAIL, NULL,
                        "load: entry %#lx is outside the region", entry);

    for ( i = 0; i < nr; i++ )
    {
        paddr_t s = seg[i].dest_maddr;
        uint64_t size = seg[i].dest_size;

        if ( guest_handle_is_null(seg[i].buf.h)
             ? inside(s, size, 0, MB(1))
             : inside(s, size, region.start, region.size) ||
               inside(s, size, slot.start, slot.size) )
            continue;

        return lu_error(-EADDRNOTAVAIL, NULL,
                        "load: segment %u, %#lx+%#lx, is neither in the region nor in the free slot %#lx+%#lx",
                        i, s, size, slot.start, slot.size);
    }

    return 0;
}

/* ---- Capability note -------------------------------------------------------- */

static const struct lu_note_rec *find_note(paddr_t s, uint64_t size)
{
    const struct lu_note_rec *found = NULL;
    uint64_t off;

    for ( off = 0; off + PAGE_SIZE <= size; off += PAGE_SIZE )
    {
        const struct lu_note_rec *n = maddr_to_virt(s + off);

        if ( n->magic[0] != LU_NOTE_MAGIC0 || n->magic[1] != LU_NOTE_MAGIC1 )
            continue;
        if ( found )
        {
            lu_error(-EINVAL, NULL, "load: the image has two capability notes");
            return NULL;
        }
        found = n;
    }

    if ( !found )
        lu_error(-ENOEXEC, NULL,
                 "load: the image has no capability note: no Xen with live update");

    return found;
}

static int check_note(const struct lu_note_rec *n)
{
    const struct lu_note_entry_rec *e;
    const uint64_t *tail;
    unsigned int i, j;

    if ( n->version != LU_NOTE_VERSION )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: capability note of version %u, this Xen reads %u",
                        n->version, LU_NOTE_VERSION);
    /* Fields that this Xen does not know may follow those that it does. */
    if ( n->nr_entries > LU_NOTE_MAX_ENTRIES || n->size > PAGE_SIZE ||
         n->header < sizeof(*n) || n->header > PAGE_SIZE || (n->header & 7) ||
         n->size != n->header + n->nr_entries * sizeof(*e) + sizeof(*tail) )
        return lu_error(-EINVAL, NULL,
                        "load: capability note of %u bytes, %u of them header, with %u entries",
                        n->size, n->header, n->nr_entries);
    e = (const void *)n + n->header;
    tail = (const void *)(e + n->nr_entries);
    if ( *tail != LU_NOTE_TAIL )
        return lu_error(-EINVAL, NULL, "load: capability note is damaged");

    if ( n->entry >= PAGE_SIZE || n->nr_features > LU_NOTE_MAX_FEATURES ||
         n->scheduler[sizeof(n->scheduler) - 1] )
        return lu_error(-EINVAL, NULL,
                        "load: capability note: entry at %#x, %u words of features, or no end of the scheduler's name",
                        n->entry, n->nr_features);

    if ( n->page_info_size < 16 || n->page_info_size > 1024 )
        return lu_error(-EINVAL, NULL, "load: capability note: %u bytes of frame table per page",
                        n->page_info_size);

    if ( n->nr_cpus < nr_cpu_ids )
        return lu_error(-EOPNOTSUPP, NULL,
                        "load: the image holds %u CPUs, the host has %u",
                        n->nr_cpus, nr_cpu_ids);

    for ( i = 0; i < lu_nr_kinds; i++ )
    {
        const struct lu_kind *k = lu_kinds[i];

        if ( !k->save )
            continue;

        for ( j = 0; j < n->nr_entries; j++ )
            if ( e[j].type == k->type )
                break;

        if ( j == n->nr_entries && k->optional )
        {
            printk(XENLOG_WARNING
                   "live-update: load: the image does not read record %s, which will be lost\n",
                   k->name);
            continue;
        }
        if ( j == n->nr_entries )
            return lu_error(-EOPNOTSUPP, NULL,
                            "load: the image does not read record %s", k->name);
        if ( k->version < e[j].min_version || k->version > e[j].max_version )
            return lu_error(-EOPNOTSUPP, NULL,
                            "load: the image reads record %s version %u to %u, this Xen writes %u",
                            k->name, e[j].min_version, e[j].max_version,
                            k->version);
    }

    return 0;
}

/* What the last load that succeeded found. */
static struct {
    unsigned int page_info_size;
    paddr_t entry;              /* 32-bit, multiboot2 */
    paddr_t mbi;                /* multiboot2 information */
    uint64_t hash;              /* of all segments */
    struct lu_note_rec note;
    const struct lu_note_entry_rec *records; /* where they lie, in its slot */
    unsigned int build_id_len;
    uint8_t build_id[32];
} next;

unsigned int lu_image_page_info_size(void)
{
    return next.page_info_size;
}

const struct lu_note_rec *lu_image_note(void)
{
    return &next.note;
}

unsigned int lu_image_build_id(const uint8_t **id)
{
    *id = next.build_id;

    return next.build_id_len;
}

bool lu_image_record(unsigned int i, struct lu_note_entry_rec *e)
{
    if ( i >= next.note.nr_entries )
        return false;

    *e = next.records[array_index_nospec(i, next.note.nr_entries)];

    return true;
}

/* Only for people to read: the first ELF note that says it is a build id. */
static void find_build_id(const void *p, uint64_t size)
{
    static const uint32_t head[] = { 4, 0, 3, 0x00554e47 /* "GNU" */ };
    const uint32_t *n = p, *end = p + size - sizeof(head);

    for ( next.build_id_len = 0; n < end; n++ )
        if ( n[0] == head[0] && n[1] && n[1] <= sizeof(next.build_id) &&
             n[2] == head[2] && n[3] == head[3] &&
             n[1] <= (const void *)end - (const void *)n )
        {
            next.build_id_len = n[1];
            memcpy(next.build_id, n + 4, n[1]);
            break;
        }
}

void lu_image_entry(paddr_t *entry, paddr_t *mbi)
{
    *entry = next.entry;
    *mbi = next.mbi;
}

static uint64_t hash_image(const struct kexec_image *image)
{
    uint64_t hash = 0;
    unsigned int i;

    for ( i = 0; i < image->nr_segments; i++ )
        if ( !guest_handle_is_null(image->segments[i].buf.h) )
            hash = xxh64(maddr_to_virt(image->segments[i].dest_maddr),
                         image->segments[i].dest_size, hash);

    return hash;
}

/*
 * Purgatory checks what it is about to run when nobody can be told any more;
 * the same is done here while everything runs, and purgatory is not entered.
 */
int lu_image_verify(const struct kexec_image *image)
{
    if ( hash_image(image) != next.hash )
        return lu_error(-EIO, NULL,
                        "exec: the image has changed since it was loaded");

    /* There may be other domains than there were. */
    return lu_domains_fit(&next.note);
}

/* ---- Multiboot2 information ------------------------------------------------- */

#define MB2_TAG_END     0
#define MB2_TAG_CMDLINE 1
#define MB2_TAG_MODULE  3

struct mb2_fixed {
    uint32_t total_size;
    uint32_t reserved;
};

struct mb2_tag {
    uint32_t type;
    uint32_t size;
};

/* Is there an information block of sane structure; where is its command line? */
static bool parse_mbi(const void *p, uint64_t room, const char **cmdline,
                      size_t *len, unsigned int *modules)
{
    const struct mb2_fixed *f = p;
    uint32_t off = sizeof(*f);

    *cmdline = NULL;
    *modules = 0;
    if ( room < sizeof(*f) || f->reserved || f->total_size > room )
        return false;

    while ( off <= f->total_size && f->total_size - off >= sizeof(struct mb2_tag) )
    {
        const struct mb2_tag *t = p + off;

        if ( t->size < sizeof(*t) || t->size > f->total_size - off )
            return false;

        switch ( t->type )
        {
        case MB2_TAG_END:
            /* kexec-tools counts its whole buffer in total_size. */
            return t->size == sizeof(*t);

        case MB2_TAG_CMDLINE:
            *cmdline = (const char *)(t + 1);
            *len = t->size - sizeof(*t);
            if ( !*len || (*cmdline)[*len - 1] )
                return false;
            break;

        case MB2_TAG_MODULE:
            ++*modules;
            break;
        }
        off += ROUNDUP(t->size, 8);
    }

    return false;
}

/* ---- Command line ------------------------------------------------------------ */

/*
 * Options that change nothing the domains rely on: where messages go and how
 * many, what only concerns building dom0, and what update itself overrides.
 * docs/designs/live-update.md has the same table.
 */
static const char *const free_options[] = {
    "liveupdate", "liveupdate-wait", "no-real-mode", "placeholder",
    "console", "sync_console", "console_timestamps",
    "console_to_ring", "conring_size", "loglvl", "guest_loglvl", "noreboot",
    "reboot", "async-show-all", "debugtrace", "tbuf_size", "tevt_mask",
    "dom0_mem", "dom0_max_vcpus", "dom0_nodes", "dom0-verbose",
    "apic_verbosity", "scrub-domheap",
};

static bool is_free(const char *tok, size_t len)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(free_options); i++ )
    {
        size_t n = strlen(free_options[i]);

        if ( n <= len && !strncmp(tok, free_options[i], n) &&
             (n == len || tok[n] == '=') )
            return true;
    }

    return false;
}

/* The next option that is not free, or NULL at the end. */
static const char *next_option(const char *p, size_t *len)
{
    for ( ; ; p += *len )
    {
        while ( *p == ' ' )
            p++;
        if ( !*p )
            return NULL;
        for ( *len = 0; p[*len] && p[*len] != ' '; ++*len )
            ;
        if ( !is_free(p, *len) )
            return p;
    }
}

static int check_liveupdate(const char *cmdline)
{
    static const char name[] = "liveupdate=";
    const char *p, *last = NULL, *end;
    xen_kexec_range_t region;
    unsigned long long size, addr = 0;

    for ( p = cmdline; (p = strstr(p, name)) != NULL; p += sizeof(name) - 1 )
        if ( p == cmdline || p[-1] == ' ' )
            last = p + sizeof(name) - 1;

    if ( !last )
        return lu_error(-EINVAL, NULL,
                        "load: command line: no liveupdate=<size>@<address>");

    if ( lu_kexec_region(&region) )
        return -ENODEV;

    size = parse_size_and_unit(last, &end);
    if ( *end == '@' )
        addr = simple_strtoull(end + 1, &end, 0);
    if ( (*end && *end != ' ') || size != region.size || addr != region.start )
        return lu_error(-EINVAL, NULL,
                        "load: command line: the last liveupdate= is not %luM@%#lx",
                        region.size >> 20, region.start);

    return 0;
}

static int check_cmdline(const char *cmdline)
{
    const char *a, *b;
    size_t la = 0, lb = 0;
    int rc;

    if ( strstr(cmdline, " -- ") )
        return lu_error(-EINVAL, NULL,
                        "load: command line: ' -- ' hides what follows it");

    /* The first word is the image's name. */
    while ( *cmdline && *cmdline != ' ' )
        cmdline++;

    if ( strlen(cmdline) >= sizeof(saved_cmdline) )
        return lu_error(-E2BIG, NULL, "load: command line: %zu characters",
                        strlen(cmdline));

    rc = check_liveupdate(cmdline);
    if ( rc )
        return rc;

    /* In order, since a later option may take an earlier one back. */
    a = next_option(cmdline, &la);
    b = next_option(saved_cmdline, &lb);
    while ( a && b && la == lb && !strncmp(a, b, la) )
    {
        a = next_option(a + la, &la);
        b = next_option(b + lb, &lb);
    }

    if ( a )
        return lu_error(-EINVAL, NULL,
                        "load: command line: '%.*s' is not what the running Xen has%s%.*s%s",
                        (int)la, a, b ? " (there: '" : "", b ? (int)lb : 0,
                        b ?: "", b ? "')" : "");
    if ( b )
        return lu_error(-EINVAL, NULL,
                        "load: command line: '%.*s' of the running Xen is missing",
                        (int)lb, b);

    return 0;
}

int lu_image_check(const struct kexec_image *image)
{
    xen_kexec_range_t region, slot;
    const struct lu_note_rec *note = NULL;
    const char *cmdline = NULL;
    unsigned int i, images = 0, blocks = 0;
    uint64_t image_size = 0;
    paddr_t mbi = 0;
    int rc;

    if ( lu_kexec_region(&region) || !lu_kexec_xen(&slot) )
        return -ENODEV;

    for ( i = 0; i < image->nr_segments; i++ )
    {
        paddr_t s = image->segments[i].dest_maddr;
        uint64_t size = image->segments[i].dest_size;

        if ( guest_handle_is_null(image->segments[i].buf.h) )
            continue;

        if ( inside(s, size, slot.start, slot.size) )
        {
            if ( s != slot.start )
                return lu_error(-EADDRNOTAVAIL, NULL,
                                "load: the image is at %#lx, not at the start %#lx of its slot",
                                s, slot.start);
            images++;
            image_size = size;
            note = find_note(s, size);
            if ( !note )
                return -ENOEXEC;
        }
        else
        {
            const char *line;
            unsigned int modules;
            size_t len;

            if ( !parse_mbi(maddr_to_virt(s), size, &line, &len, &modules) )
                continue;
            blocks++;
            cmdline = line;
            mbi = s;
            if ( modules )
                return lu_error(-EOPNOTSUPP, NULL,
                                "load: %u multiboot modules; an update takes none",
                                modules);
        }
    }

    if ( images != 1 )
        return lu_error(-ENOEXEC, NULL, "load: %u images in the free slot",
                        images);
    if ( blocks != 1 || !cmdline )
        return lu_error(-EINVAL, NULL,
                        "load: %u multiboot2 information blocks%s", blocks,
                        cmdline ? "" : ", no command line");

    rc = check_note(note) ?: check_cmdline(cmdline) ?:
         lu_image_fits(note, cmdline);
    if ( !rc )
    {
        next.page_info_size = note->page_info_size;
        next.entry = slot.start + note->entry;
        next.mbi = mbi;
        next.hash = hash_image(image);
        next.note = *note;
        next.records = (const void *)note + note->header;
        find_build_id(maddr_to_virt(slot.start), image_size);
        printk(XENLOG_INFO "live-update: loaded Xen %u.%u%.32s\n",
               note->xen_major, note->xen_minor, note->extraversion);
    }

    return rc;
}
