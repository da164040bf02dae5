/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds and prints the capability note of an image.
 *
 * In memory the note is page aligned, but a segment of an ELF file may lie at
 * any offset of the file, so the step is the caller's.  The magic alone says
 * nothing (every Xen also holds it as a constant to compare with): version, size
 * and the tail behind the table must fit too, and what has the magic but not
 * those is counted as damaged so that the caller can say so.
 */
#include <inttypes.h>
#include <string.h>

#include "schema.h"

static bool note_is_valid(const uint8_t *p, size_t room)
{
    struct lu_note_rec note;
    uint64_t tail;
    size_t len;

    if ( room < sizeof(note) )
        return false;
    memcpy(&note, p, sizeof(note));

    if ( note.version != LU_NOTE_VERSION ||
         note.nr_entries > LU_NOTE_MAX_ENTRIES )
        return false;

    if ( note.header < sizeof(note) || note.header > room || note.header % 8 )
        return false;
    len = note.header +
          note.nr_entries * sizeof(struct lu_note_entry_rec);
    if ( note.size != len + sizeof(tail) || note.size > room )
        return false;
    memcpy(&tail, p + len, sizeof(tail));

    return tail == LU_NOTE_TAIL;
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
    fprintf(out, "capability note at file offset 0x%zx\n", where);
    lu_print_struct(out, lu_struct_of("lu_note_rec"), p, "    ");

    for ( i = 0; i < note.nr_entries; i++ )
    {
        struct lu_note_entry_rec entry;

        memcpy(&entry, p + note.header + i * sizeof(entry), sizeof(entry));
        fprintf(out, "    reads %#010x %s version %u", entry.type,
                lu_desc_of(entry.type) ? lu_name_of(entry.type) : "(unknown)",
                entry.min_version);
        if ( entry.max_version != entry.min_version )
            fprintf(out, " to %u", entry.max_version);
        putc('\n', out);
    }
}
