/* lists.c - the filters that walk lists and dictionaries.
 *
 * Owns order (sort keeps equal ones in their order), the tests and filters that select and map call by name, and which
 * results can be walked once only (generators, as in Jinja2). Lists that come in are never changed.
 */
#include <string.h>

#include "core/text/jinja/internal.h"

static bool flag(const struct jvalue *v)
{
    return v && jtruth(*v);
}

static struct jvalue f_length(struct jrun *r, struct jvalue v, const struct jargs *a)
{
    (void)a;
    switch (v.kind) {
    case J_UNDEFINED: return jint(0);
    case J_STR: return jint((int64_t)v.s->chars);
    case J_LIST: case J_TUPLE: case J_VIEW: return jint((int64_t)v.list->n);
    case J_DICT: return jint((int64_t)v.dict->n);
    case J_RANGE: return jint((int64_t)v.range->n);
    case J_LOOP: return jloop_attribute(r, v.loop, &(struct jstr){ "length", 6, 6 });
    default: jfail(r, QS_EFORMAT, "a %s has no length", jtype_name(v)); return jnone();
    }
}

static struct jvalue f_first(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)a;
    if (self.kind == J_GENERATOR)
        return self.list->walked < self.list->n ? self.list->at[self.list->walked++]
                                                : jundefined_of(r, "there is no first item: the sequence is empty");
    const struct jlist *l = jiterate(r, self);
    return l->n ? l->at[0] : jundefined_of(r, "there is no first item: the sequence is empty");
}

static struct jvalue f_last(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)a;
    if (self.kind == J_GENERATOR || self.kind == J_UNDEFINED) {
        jfail(r, QS_EFORMAT, "a %s cannot be walked from its end", jtype_name(self));
        return jnone();
    }
    const struct jlist *l = jiterate(r, self);
    return l->n ? l->at[l->n - 1] : jundefined_of(r, "there is no last item: the sequence is empty");
}

static struct jvalue f_list(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jlist *l = jlist_new(r);
    const struct jlist *from = jiterate(r, self);
    (void)a;
    for (size_t i = 0; i < from->n && !r->rc; i++)
        jlist_push(r, l, from->at[i]);
    return jlist_value(J_LIST, l);
}

static struct jvalue f_join(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct qs_str out = QS_STR_INIT;
    struct jvalue between = a->slot[0] ? jto_str(r, *a->slot[0]) : jstrz(r, "");
    const struct jlist *l = jiterate(r, self);
    for (size_t i = 0; i < l->n && !r->rc; i++) {
        if (i)
            jwrite(r, &out, between);
        jwrite(r, &out, jgiven(a->slot[1]) ? jfilter_path(r, l->at[i], *a->slot[1]) : l->at[i]);
    }
    return jstr_take(r, &out);
}

static struct jvalue f_reverse(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)a;
    if (self.kind == J_STR)
        return jslice(r, self, NULL, NULL, &(struct jvalue){ .kind = J_INT, .i = -1 });
    const struct jlist *from = jiterate(r, self);
    struct jlist *l = jlist_new(r);
    for (size_t i = from->n; i-- > 0 && !r->rc;)
        jlist_push(r, l, from->at[i]);
    return jlist_value(J_GENERATOR, l);
}

/* --- order -------------------------------------------------------------------------------------------------------- */

/* Text in lower case unless case counts. */
static struct jvalue fold(struct jrun *r, struct jvalue v, bool case_sensitive)
{
    struct qs_str s = QS_STR_INIT;
    if (case_sensitive || v.kind != J_STR)
        return v;
    jtext_case(&s, v.s->p, v.s->n, 0);
    return jstr_take(r, &s);
}

/* "a,b.c": a tuple of what each part finds; one part: that itself, as a tuple of one for sort. */
static struct jvalue sort_key(struct jrun *r, struct jvalue v, const struct jvalue *attribute, bool case_sensitive)
{
    if (!attribute)
        return fold(r, v, case_sensitive);
    if (attribute->kind != J_STR || !memchr(attribute->s->p, ',', attribute->s->n))
        return fold(r, jfilter_path(r, v, *attribute), case_sensitive);
    struct jlist *l = jlist_new(r);
    const char *p = attribute->s->p, *end = p + attribute->s->n;
    while (p <= end && !r->rc) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t n = (size_t)((comma ? comma : end) - p);
        jlist_push(r, l, fold(r, jfilter_path(r, v, jstr_share(r, p, n)), case_sensitive));
        p += n + 1;
    }
    return jlist_value(J_TUPLE, l);
}

/* Merge sort of pairs {key, value}, stable; backwards keeps equal ones in their order too. */
static void merge_sort(struct jrun *r, struct jpair *at, struct jpair *spare, size_t n, bool backwards)
{
    if (n < 2 || !jdeeper(r))
        return;
    size_t half = n / 2, i = 0, j = half, k = 0;
    merge_sort(r, at, spare, half, backwards);
    merge_sort(r, at + half, spare, n - half, backwards);
    while (i < half && j < n && !r->rc) {
        int c = backwards ? jcompare(r, at[i].key, at[j].key, "<") : jcompare(r, at[j].key, at[i].key, "<");
        spare[k++] = c == -1 ? at[j++] : at[i++];
    }
    while (i < half)
        spare[k++] = at[i++];
    memcpy(at, spare, k * sizeof *at);
    r->depth--;
}

static struct jpair *sorted(struct jrun *r, const struct jlist *l, const struct jvalue *attribute, bool case_sensitive,
                            bool backwards)
{
    struct jpair *at = jget(r, (l->n + 1) * sizeof *at), *spare = jget(r, (l->n + 1) * sizeof *spare);
    for (size_t i = 0; i < l->n && !r->rc; i++)
        at[i] = (struct jpair){ sort_key(r, l->at[i], attribute, case_sensitive), l->at[i] };
    if (!r->rc)
        merge_sort(r, at, spare, l->n, backwards);
    return at;
}

static struct jvalue f_sort(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jlist *from = jiterate(r, self);
    struct jlist *l = jlist_new(r);
    const struct jpair *p = sorted(r, from, jgiven(a->slot[2]), flag(a->slot[1]), flag(a->slot[0]));
    for (size_t i = 0; i < from->n && !r->rc; i++)
        jlist_push(r, l, p[i].value);
    return jlist_value(J_LIST, l);
}

static struct jlist *items_of(struct jrun *r, struct jvalue v)
{
    struct jlist *l = jlist_new(r);
    if (v.kind != J_DICT)
        jfail(r, QS_EFORMAT, "a dictionary is needed, not %s", jtype_name(v));
    for (size_t i = 0; !r->rc && i < v.dict->n; i++) {
        struct jlist *pair = jlist_new(r);
        jlist_push(r, pair, v.dict->at[i].key);
        jlist_push(r, pair, v.dict->at[i].value);
        jlist_push(r, l, jlist_value(J_TUPLE, pair));
    }
    return l;
}

static struct jvalue f_items(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    (void)a;
    if (self.kind == J_UNDEFINED)
        return jlist_value(J_GENERATOR, jlist_new(r));
    return jlist_value(J_GENERATOR, items_of(r, self));
}

static struct jvalue f_dictsort(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jlist *from = items_of(r, self), *l = jlist_new(r);
    struct jvalue by = jint(0);
    if (a->slot[1] && jequal(r, *a->slot[1], jstrz(r, "value")))
        by = jint(1);
    else if (a->slot[1] && !jequal(r, *a->slot[1], jstrz(r, "key")))
        jfail(r, QS_EFORMAT, "dictsort goes by key or by value");
    const struct jpair *p = sorted(r, from, &by, flag(a->slot[0]), flag(a->slot[2]));
    for (size_t i = 0; i < from->n && !r->rc; i++)
        jlist_push(r, l, p[i].value);
    return jlist_value(J_LIST, l);
}

static struct jvalue extreme(struct jrun *r, struct jvalue self, const struct jargs *a, int sign)
{
    const struct jlist *l = jiterate(r, self);
    struct jvalue best = jnone(), best_key = jnone();
    if (!r->rc && l->n == 0)
        return jundefined_of(r, "there is no item to choose: the sequence is empty");
    for (size_t i = 0; i < l->n && !r->rc; i++) {
        struct jvalue key = sort_key(r, l->at[i], jgiven(a->slot[1]), flag(a->slot[0]));
        if (i == 0 || jcompare(r, key, best_key, sign < 0 ? "<" : ">") == sign) {
            best = l->at[i];
            best_key = key;
        }
    }
    return best;
}

J_CALL(f_min, extreme(r, self, a, -1))
J_CALL(f_max, extreme(r, self, a, 1))

static struct jvalue f_unique(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jlist *from = jiterate(r, self);
    struct jlist *l = jlist_new(r);
    struct jdict *seen = jdict_new(r);
    for (size_t i = 0; i < from->n && !r->rc; i++) {
        struct jvalue key = sort_key(r, from->at[i], jgiven(a->slot[1]), flag(a->slot[0]));
        if (jdict_get(r, seen, key))
            continue;
        jdict_set(r, seen, key, jnone());
        jlist_push(r, l, from->at[i]);
    }
    return jlist_value(J_GENERATOR, l);
}

static struct jvalue f_sum(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jlist *l = jiterate(r, self);
    struct jvalue sum = a->slot[1] ? *a->slot[1] : jint(0);
    if (sum.kind == J_STR)
        jfail(r, QS_EFORMAT, "sum does not join strings: join does");
    for (size_t i = 0; i < l->n && !r->rc; i++)
        sum = jbinary(r, OP_ADD, sum, jgiven(a->slot[0]) ? jfilter_path(r, l->at[i], *a->slot[0]) : l->at[i]);
    return sum;
}

static struct jvalue f_groupby(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jlist *from = jiterate(r, self);
    struct jlist *keyed = jlist_new(r), *out = jlist_new(r);
    bool case_sensitive = flag(a->slot[2]);
    for (size_t i = 0; i < from->n && !r->rc; i++) { /* pairs (key, item): the key is looked for once */
        struct jlist *pair = jlist_new(r);
        struct jvalue key = jfilter_path(r, from->at[i], *a->slot[0]);
        if (key.kind == J_UNDEFINED && jgiven(a->slot[1]))
            key = *a->slot[1];
        jlist_push(r, pair, key);
        jlist_push(r, pair, from->at[i]);
        jlist_push(r, keyed, jlist_value(J_LIST, pair));
    }
    const struct jpair *p = sorted(r, keyed, &(struct jvalue){ .kind = J_INT, .i = 0 }, case_sensitive, false);
    struct jlist *group = NULL;
    for (size_t i = 0; i < keyed->n && !r->rc; i++) {
        if (!group || !jequal(r, p[i - 1].key, p[i].key)) {
            struct jlist *pair = jlist_new(r);
            group = jlist_new(r);
            jlist_push(r, pair, p[i].value.list->at[0]);
            jlist_push(r, pair, jlist_value(J_LIST, group));
            pair->name = "group"; /* has .grouper and .list */
            jlist_push(r, out, jlist_value(J_TUPLE, pair));
        }
        jlist_push(r, group, p[i].value.list->at[1]);
    }
    return jlist_value(J_LIST, out);
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static struct jvalue f_batch(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jlist *from = jiterate(r, self);
    struct jlist *out = jlist_new(r), *row = NULL;
    int64_t n = jwhole(r, a->slot[0], 0);
    for (size_t i = 0; i < from->n && !r->rc; i++) {
        if (!row || (int64_t)row->n == n) {
            row = jlist_new(r);
            jlist_push(r, out, jlist_value(J_LIST, row));
        }
        jlist_push(r, row, from->at[i]);
    }
    while (row && jgiven(a->slot[1]) && (int64_t)row->n < n && !r->rc)
        jlist_push(r, row, *a->slot[1]);
    return jlist_value(J_GENERATOR, out);
}

static struct jvalue f_slice(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    const struct jlist *from = jiterate(r, self);
    struct jlist *out = jlist_new(r);
    int64_t n = jwhole(r, a->slot[0], 0);
    if (n <= 0)
        jfail(r, QS_EFORMAT, "slice needs a number above zero");
    for (int64_t i = 0, at = 0; i < n && !r->rc; i++) {
        struct jlist *piece = jlist_new(r);
        int64_t extra = (int64_t)from->n % n, size = (int64_t)from->n / n + (i < extra);
        for (int64_t k = 0; k < size; k++)
            jlist_push(r, piece, from->at[at++]);
        if (jgiven(a->slot[1]) && i >= extra)
            jlist_push(r, piece, *a->slot[1]);
        jlist_push(r, out, jlist_value(J_LIST, piece));
    }
    return jlist_value(J_GENERATOR, out);
}

/* --- select and map ----------------------------------------------------------------------------------------------- */

/* The filter or test named by an argument, and the arguments behind it. */
static const struct jcallable *by_name(struct jrun *r, const struct jargs *a, size_t at, bool test, struct jargs *rest)
{
    struct jvalue name = a->at[at];
    const struct jcallable *c = name.kind != J_STR ? NULL
                              : test ? jtest_find(name.s->p, name.s->n) : jfilter_find(name.s->p, name.s->n);
    if (!c || !c->call)
        jfail(r, QS_EUNSUPPORTED, "no %s named '%.*s'", test ? "test" : "filter",
              name.kind == J_STR ? (int)name.s->n : 1, name.kind == J_STR ? name.s->p : "?");
    *rest = *a;
    rest->at = a->at + at + 1;
    rest->n = a->n - at - 1;
    return c;
}

static struct jvalue chosen(struct jrun *r, struct jvalue self, const struct jargs *a, bool attribute, bool wanted)
{
    struct jlist *out = jlist_new(r);
    const struct jcallable *test = NULL;
    struct jargs rest;
    if (!jtruth(self))
        return jlist_value(J_GENERATOR, out);
    if (a->n > attribute)
        test = by_name(r, a, attribute, true, &rest);
    const struct jlist *from = jiterate(r, self);
    for (size_t i = 0; i < from->n && !r->rc; i++) {
        struct jvalue v = attribute ? jfilter_path(r, from->at[i], a->at[0]) : from->at[i];
        if (test)
            v = jcall_builtin(r, test, v, &rest);
        if (jtruth(v) == wanted)
            jlist_push(r, out, from->at[i]);
    }
    return jlist_value(J_GENERATOR, out);
}

J_CALL(f_select, chosen(r, self, a, false, true))
J_CALL(f_reject, chosen(r, self, a, false, false))
J_CALL(f_selectattr, chosen(r, self, a, true, true))
J_CALL(f_rejectattr, chosen(r, self, a, true, false))

static const struct jvalue *named(const struct jargs *a, const char *name)
{
    for (size_t i = 0; i < a->n_keys; i++)
        if (a->key[i]->n == strlen(name) && memcmp(a->key[i]->p, name, a->key[i]->n) == 0)
            return &a->value[i];
    return NULL;
}

static struct jvalue f_map(struct jrun *r, struct jvalue self, const struct jargs *a)
{
    struct jlist *out = jlist_new(r);
    const struct jvalue *attribute = a->n ? NULL : named(a, "attribute"), *otherwise = jgiven(named(a, "default"));
    const struct jcallable *filter = NULL;
    struct jargs rest;
    if (!jtruth(self))
        return jlist_value(J_GENERATOR, out);
    if (attribute && a->n_keys > 1u + (otherwise != NULL) && !named(a, "default"))
        jfail(r, QS_EFORMAT, "map: attribute goes with default alone");
    else if (!attribute && a->n == 0)
        jfail(r, QS_EFORMAT, "map needs the name of a filter, or attribute=");
    else if (!attribute)
        filter = by_name(r, a, 0, false, &rest);
    const struct jlist *from = r->rc ? &r->no_list : jiterate(r, self);
    for (size_t i = 0; i < from->n && !r->rc; i++) {
        struct jvalue v = filter ? jcall_builtin(r, filter, from->at[i], &rest)
                                 : jfilter_path(r, from->at[i], *attribute);
        jlist_push(r, out, v.kind == J_UNDEFINED && !filter && otherwise ? *otherwise : v);
    }
    return jlist_value(J_GENERATOR, out);
}

static const struct jcallable filters[] = {
    { "batch", f_batch, "linecount fill_with", 1 },
    { "count", f_length, "", 0 },
    { "dictsort", f_dictsort, "case_sensitive by reverse", 0 },
    { "first", f_first, "", 0 },
    { "groupby", f_groupby, "attribute default case_sensitive", 1 },
    { "items", f_items, "", 0 },
    { "join", f_join, "d attribute", 0 },
    { "last", f_last, "", 0 },
    { "length", f_length, "", 0 },
    { "list", f_list, "", 0 },
    { "map", f_map, "*", 0 },
    { "max", f_max, "case_sensitive attribute", 0 },
    { "min", f_min, "case_sensitive attribute", 0 },
    { "reject", f_reject, "*", 0 },
    { "rejectattr", f_rejectattr, "*", 1 },
    { "reverse", f_reverse, "", 0 },
    { "select", f_select, "*", 0 },
    { "selectattr", f_selectattr, "*", 1 },
    { "slice", f_slice, "slices fill_with", 1 },
    { "sort", f_sort, "reverse case_sensitive attribute", 0 },
    { "sum", f_sum, "attribute start", 0 },
    { "unique", f_unique, "case_sensitive attribute", 0 },
};

const struct jcallable *jlist_filter_find(const char *p, size_t n)
{
    return jcallable_in(filters, sizeof filters / sizeof *filters, p, n);
}
