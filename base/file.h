/* file.h - files: whole reads, atomic writes, places, locks, free space. */
#ifndef QS_BASE_FILE_H
#define QS_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

/* Whole small file into memory (terminated with one extra 0 byte). qs_free it. Refuses more than `max` bytes
 * (QS_ELIMIT), and folders, pipes, devices and sockets (QS_EINVAL): it never waits for somebody to write. */
int qs_file_read(const char *path, size_t max, char **data, size_t *len, struct qs_err *e);
/* The same of pipes and devices too ("/dev/stdin"), to their end: waits for whoever writes. Not for a thread that must
 * not wait. */
int qs_file_read_any(const char *path, size_t max, char **data, size_t *len, struct qs_err *e);

/* Writes PATH.tmp.XXXXXX beside it, fsyncs, renames over `path`. With `overwrite` false an existing file is
 * QS_EEXISTS. A link stays a link; permissions of a replaced file are kept. Only regular files are replaced. */
int qs_file_write_atomic(const char *path, const void *data, size_t len, bool overwrite, struct qs_err *e);
/* The same of bytes that come piece by piece: `write` puts them into fd (qs_pwrite_all), messages name `path`. */
typedef int qs_file_pieces_fn(void *ctx, int fd, const char *path, struct qs_err *e);
int qs_file_write_pieces(const char *path, qs_file_pieces_fn *write, void *ctx, bool overwrite, struct qs_err *e);

/* Can a file be written here? Refuses folders, devices, pipes and sockets (QS_EINVAL), a file that exists unless
 * `overwrite` (QS_EEXISTS), a folder that does not exist (QS_ENOTFOUND) or cannot be written (QS_EIO); advises
 * to take another. */
int qs_file_check_output(const char *path, bool overwrite, struct qs_err *e);

/* QS_EINVAL when `path` is one of the files that are read, under whatever name (hard or symbolic links too). */
struct qs_file_input { const char *path, *what; /* "the recipe"; path NULL: skipped */ };
int qs_file_refuse_inputs(const char *path, const struct qs_file_input *in, size_t n, struct qs_err *e);

/* QS_ENOSPACE: a file of `size` bytes is more than a limit of this process or of the file system allows (EFBIG). */
int qs_fail_file_size(struct qs_err *e, const char *path, uint64_t size);
uint64_t qs_file_size_limit(void); /* of this process (ulimit -f); UINT64_MAX: none */

int qs_pread_all(int fd, void *buf, size_t n, uint64_t off, const char *path, struct qs_err *e);
int qs_pwrite_all(int fd, const void *buf, size_t n, uint64_t off, const char *path, struct qs_err *e);

struct qs_file_stat { uint64_t size; int64_t mtime_ns; uint64_t dev, ino; bool is_dir, is_regular; };
int qs_file_stat(const char *path, struct qs_file_stat *st, struct qs_err *e);
bool qs_file_exists(const char *path);
int qs_file_rename(const char *from, const char *to, bool overwrite, struct qs_err *e); /* and fsyncs the folder */
int qs_file_free_space(const char *path_in_fs, uint64_t *bytes, struct qs_err *e);      /* for us, not for root */

/* Advisory exclusive lock on a descriptor open for writing: QS_EBUSY when another process (or another open
 * description of this one) holds it. Ends with close. */
int qs_file_lock(int fd, const char *path, struct qs_err *e);
/* Opens a file of ours that grows while work goes on (a journal), makes it where there is none, and locks it; afterwards
 * the path still names what was locked. Nothing is opened through a symbolic link (QS_EEXISTS). what: "journal". */
int qs_file_open_locked(const char *path, const char *what, int *fd, uint64_t *size, struct qs_err *e);

/* XDG places: kind "config", "cache", "state" or "data" -> .../quantscape[/sub]; replaces `out`. qs_xdg_dir creates
 * what is missing, qs_xdg_path touches nothing. */
int qs_xdg_path(const char *kind, const char *sub, struct qs_str *out, struct qs_err *e);
int qs_xdg_dir(const char *kind, const char *sub, struct qs_str *out, struct qs_err *e);

/* The folder where scratch files go (qs_map_scratch), made if need be: this person's cache, else where the system has
 * its temporary files, which is memory in some systems. Replaces `out`. */
int qs_scratch_dir(struct qs_str *out, struct qs_err *e);

const char *qs_path_base(const char *path);                       /* after the last '/' */
bool qs_path_ends(const char *path, const char *tail);            /* ".json" */
void qs_path_dir(const char *path, struct qs_str *out); /* "." when there is none; replaces what `out` holds */
void qs_path_join(const char *dir, const char *name, struct qs_str *out); /* replaces; `dir` may point into `out` */

#endif
