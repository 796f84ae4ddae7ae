/* qs_room.h - scratch files without a name (qs_map_scratch) whose room is refused or taken away: linked with it, a
 * program has a posix_fallocate of its own, which remembers the last file it was asked for, and a statvfs of its own.
 */
#ifndef QS_TESTS_ROOM_H
#define QS_TESTS_ROOM_H

#include <stdint.h>

extern int qs_test_room_error;         /* what posix_fallocate fails with; 0: it does its work */
extern uint64_t qs_test_room_free;     /* bytes that file systems have free, 0: what they have */
void qs_test_room_cut(uint64_t bytes); /* the last scratch file is so long from now on */

#endif
