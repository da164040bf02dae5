/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds and prints the capability note of an image.
 *
 * In memory the note is page aligned, but a segment of an ELF file may lie at
 * any offset of the file, so the step is the caller's.  The magic alone says
 * nothing (every Xen also holds it as a constant to compare with): size, version
 * and checksum must fit too, and what has the magic but not those is counted as
 * damaged so that the caller can say so.
 */
#include <inttypes.h>
#include <string.h>

#include "host-xxhash.h"
#include "records.h"

/* A record table larger than this is damage, not a table. */
#define NOTE_MAX_ENTRIES 4096U

static bool note_is_valid(const uint8_t *p, size_t room)
{
    static const uint64_t zero;
    struct lu_note_rec note;
    struct xxh64_state state;
    const size_t after = offsetof(struct lu_note_rec, crc) + sizeof(zero);

    if ( room < sizeof(note) )
        return false;
    memcpy(&note, p, sizeof(note));

    if ( note.version != LU_NOTE_VERSION ||
         note.nr_entries > NOTE_MAX_ENTRIES ||
         note.size != sizeof(note) + note.nr_entries *
                      sizeof(struct lu_note_entry_rec) ||
         note.size > room )
        return false;

    xxh64_reset(&state, 0);
    xxh64_update(&state, p, offsetof(struct lu_note_rec, crc));
    xxh64_update(&state, &zero, sizeof(zero));
    xxh64_update(&state, p + after, note.size - after);

    return xxh64_digest(&state) == note.crc;
}

unsigned int lu_note_scan(const void *image, size_t len, size_t step,
                          size_t *where, unsigned int *damaged)
{
    static const uint64_t magic[2] = { LU_NOTE_MAGIC0, LU_NOTE_MAGIC1 };
    const uint8_t *p = image;
    unsigned int found = 0;
    size_t pos;

    *damaged = 0;
    for ( pos = 0; pos < len && len - pos >= sizeof(magic); pos += step )
    {
        if ( memcmp(p + pos, magic, sizeof(magic)) )
            continue;
        if ( !note_is_valid(p + pos, len - pos) )
            ++*damaged;
        else if ( !found++ )
            *where = pos;
    }

    return found;
}

void lu_note_print(FILE *out, const void *image, size_t where)
{
    const uint8_t *p = (const uint8_t *)image + where;
    struct lu_note_rec note;
    uint32_t i;

    memcpy(&note, p, sizeof(note));
    fprintf(out, "capability note at file offset %#zx\n", where);
    lu_print_struct(out, lu_struct_of("lu_note_rec"), p, "    ");

    for ( i = 0; i < note.nr_entries; i++ )
    {
        struct lu_note_entry_rec entry;

        memcpy(&entry, p + sizeof(note) + i * sizeof(entry), sizeof(entry));
        fprintf(out, "    reads %#010x %s version %u", entry.type,
                lu_desc_of(entry.type) ? lu_name_of(entry.type) : "(unknown)",
                entry.min_version);
        if ( entry.max_version != entry.min_version )
            fprintf(out, " to %u", entry.max_version);
        putc('\n', out);
    }
}
