/* A sequence of calls recorded once and replayed as one launch (a CUDA graph).
 *
 * What is recorded are kernels with their arguments: pointers, sizes and numbers. What changes from replay to
 * replay must lie in device memory; docs/cuda.md lists which arguments do. Between begin and end nothing
 * runs, and nothing may wait or allocate. Run the calls once before: algorithms are chosen and kernels
 * loaded at the first call. Other streams are recorded along from where they wait for an event of this one
 * on; before the end this one must have waited for what they did last.
 *
 * errors: DEVICE. */
#ifndef LRC_KERNELS_COMMON_GRAPH_CUDA_H
#define LRC_KERNELS_COMMON_GRAPH_CUDA_H

#include "base/status.h"

struct lrc_stream;
struct lrc_cuda_graph;

/* Of a stream of its own (lrc_cuda_stream_new()): the default one cannot be recorded. */
enum lrc_status lrc_cuda_graph_begin(struct lrc_stream *stream, struct lrc_error *err);
/* Also to be called when a recorded call failed: the stream is of no use before. */
enum lrc_status lrc_cuda_graph_end(struct lrc_graph **graph, struct lrc_stream *stream,
                                   struct lrc_error *err);
enum lrc_status lrc_cuda_graph_replay(struct lrc_graph *graph, struct lrc_stream *stream,
                                      struct lrc_error *err);
void            lrc_cuda_graph_free(struct lrc_graph *graph); /* NULL is fine */

#endif
