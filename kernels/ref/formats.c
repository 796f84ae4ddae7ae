/* formats.c - fills a table of operations with the plain C of this folder. */
#include "kernels/level.h"
#include "kernels/ref/ref.h"

#define FULL(lower, upper)                                                                                             \
    case QS_##upper:                                                                                                   \
        return (struct qs_format_ops){qs_ref_##lower##_decode, qs_ref_##lower##_fit, qs_ref_##lower##_round,           \
                                      qs_ref_##lower##_pack, qs_ref_##lower##_scan};
#define READ(lower, upper)                                                                                             \
    case QS_##upper:                                                                                                   \
        return (struct qs_format_ops){.decode = qs_ref_##lower##_decode, .scan = qs_ref_##lower##_scan};

static struct qs_format_ops ops_of(int id)
{
    switch (id) {
        QS_REF_FORMATS(FULL)
        QS_REF_READ_ONLY(READ)
    default:
        return (struct qs_format_ops){0};
    }
}

void qs_ref_formats(struct qs_format_ops *ops)
{
    for (size_t i = 0; i < qs_format_count(); i++)
        ops[i] = ops_of(qs_format_at(i)->id);
}
