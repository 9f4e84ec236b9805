/* Size of grad_norm's workspace. */
#ifndef LRC_GRAD_NORM_LAYOUT_H
#define LRC_GRAD_NORM_LAYOUT_H

enum { LRC_GRAD_NORM_SUMS_MAX = 1024 }; /* partial sums that one block can add in one step */

#endif
