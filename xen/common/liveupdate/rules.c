/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rules that hold for any record of a stream, whatever it says: HOST first,
 * the host's records before those of domains, these together, by ascending domid
 * and DOMAIN first; each record understood, of the host or of a domain as its
 * kind is, as often as its kind wants it, and as long as its own counts say.
 *
 * The new Xen walks the stream once for this when it is proven to be well
 * framed, before it believes any record.  What follows may then count on a record
 * that is wanted once being there once, and on counts that fit the body.
 *
 * What can fail: any of that is a writer that is wrong, and a panic that names
 * record, domain and number.
 */
#include <xen/init.h>
#include <xen/lib.h>
#include <public/domctl.h>

#include "internal.h"

/* Whose records are being counted. */
struct owner {
    uint16_t domid;             /* or LU_DOMID_HOST */
    unsigned int vcpus;
    bool pv;
};

static void __init noreturn broken(const char *name, const struct lu_rec *rec,
                                   const char *why)
{
    if ( rec->id.domid == LU_DOMID_HOST )
        panic("live-update: %s %u: %s\n", name, rec->id.instance, why);

    panic("live-update: d%u: %s %u: %s\n", rec->id.domid, name,
          rec->id.instance, why);
}

/* All of the owner's records were seen: as many as there should be? */
static void __init check_numbers(const struct owner *o)
{
    const bool host = o->domid == LU_DOMID_HOST;
    unsigned int i;

    for ( i = 0; i < lu_nr_kinds; i++ )
    {
        const struct lu_kind *k = lu_kinds[i];
        unsigned int want = k->per_vcpu ? o->vcpus : 1;

        if ( !k->type || k->per_domain == host || k->number == LU_EACH ||
             (k->number == LU_MAYBE && !lu_kind_seen[i]) )
            continue;
        if ( (k->number == LU_ONE_IF_PV && !o->pv) ||
             (k->number == LU_ONE_IF_HVM && o->pv) )
            want = 0;
        if ( lu_kind_seen[i] == want )
            continue;

        if ( host )
            panic("live-update: %s: %u records, not %u\n", k->name,
                  lu_kind_seen[i], want);
        panic("live-update: d%u: %s: %u records, not %u\n", o->domid, k->name,
              lu_kind_seen[i], want);
    }

    memset(lu_kind_seen, 0, lu_nr_kinds * sizeof(*lu_kind_seen));
}

/* The first record of the next domain. */
static void __init next_owner(const struct lu_stream *s,
                              const struct lu_rec *rec, struct owner *o)
{
    struct lu_domain_rec d;

    check_numbers(o);

    if ( rec->id.domid == LU_DOMID_HOST )
        broken("record of the host", rec, "after those of a domain");
    if ( o->domid != LU_DOMID_HOST && rec->id.domid < o->domid )
        broken("record", rec, "the domains' order is not that of their domids");
    if ( rec->type != LU_REC_DOMAIN )
        broken("record", rec, "the domain does not start with DOMAIN");
    if ( lu_rec_read(s, rec, 0, &d, sizeof(d)) )
        broken("DOMAIN", rec, "too short");

    *o = (struct owner){
        .domid = rec->id.domid,
        .vcpus = d.nr_vcpus,
        .pv = !(d.flags & XEN_DOMCTL_CDF_hvm),
    };
}

static void __init check_instance(const struct lu_kind *k, unsigned int seen,
                                  const struct lu_rec *rec)
{
    if ( k->number == LU_EACH )
        return;

    if ( k->per_vcpu ? rec->id.instance == seen : !rec->id.instance && !seen )
        return;

    broken(k->name, rec,
           k->per_vcpu ? "twice, out of order, or one is missing before it"
                       : "a second one, or a number where none belongs");
}

static void __init check_length(const struct lu_stream *s,
                                const struct lu_kind *k,
                                const struct lu_rec *rec)
{
    uint64_t left = rec->length;
    unsigned int i;

    /* Another version's layout is for the kind to know. */
    if ( rec->id.version != k->version )
        return;

    if ( left < k->size )
        broken(k->name, rec, "shorter than its fixed part");
    left -= k->size;

    for ( i = 0; i < ARRAY_SIZE(k->array) && k->array[i].size; i++ )
    {
        uint32_t nr = 0;

        if ( lu_rec_read(s, rec, k->array[i].count, &nr, sizeof(nr)) ||
             nr > left / k->array[i].size )
            broken(k->name, rec, "shorter than its counts say");
        left -= (uint64_t)nr * k->array[i].size;
    }

    if ( left )
        broken(k->name, rec, "longer than its counts say");
}

void __init lu_check_rules(const struct lu_stream *s)
{
    struct owner o = { .domid = LU_DOMID_HOST };
    struct lu_rec rec = { };
    struct lu_host_rec host = { };
    unsigned int nr, domains = 0;
    bool first = true;

    for ( ; lu_next(s, &rec) > 0; first = false )
    {
        const struct lu_kind *k;

        if ( first && (rec.type != LU_REC_HOST ||
                       lu_rec_read(s, &rec, 0, &host, sizeof(host))) )
            panic("live-update: the stream does not start with HOST\n");

        if ( rec.id.domid != o.domid )
        {
            next_owner(s, &rec, &o);
            domains++;
        }

        nr = lu_kind_index(rec.type);
        if ( nr == lu_nr_kinds && rec.optional )
            continue;
        if ( nr == lu_nr_kinds )
            panic("live-update: record of unknown type %#x\n", rec.type);
        k = lu_kinds[nr];

        if ( rec.id.version < k->min_version || rec.id.version > k->version )
            panic("live-update: %s: version %u, this Xen reads %u to %u\n",
                  k->name, rec.id.version, k->min_version, k->version);
        if ( k->per_domain != (rec.id.domid != LU_DOMID_HOST) )
            broken(k->name, &rec, k->per_domain ? "names no domain"
                                                : "is the host's");
        check_instance(k, lu_kind_seen[nr]++, &rec);
        check_length(s, k, &rec);
    }

    check_numbers(&o);
    if ( host.nr_domains != domains )
        panic("live-update: HOST: %u domains, the stream has %u\n",
              host.nr_domains, domains);
}
