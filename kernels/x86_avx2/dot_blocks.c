/* dot_blocks.c */
#include "kernels/level.h"
typedef int qs_unused_dot_blocks;
