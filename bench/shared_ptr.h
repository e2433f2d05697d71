/* SPDX-License-Identifier: MIT */
/* std::shared_ptr for C, made by peer_cxx.cc: objects by number, each with a pointer of its own. */
#ifndef ELISION_BENCH_SHARED_PTR_H
#define ELISION_BENCH_SHARED_PTR_H

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_SHARED_PTRS = 17 };

/* Room for one std::shared_ptr. */
struct bench_shared_ptr {
    void *words[2];
};

/* Make the object, unless it is there.
 * pre:   number < BENCH_SHARED_PTRS */
void bench_shared_ptr_make(unsigned number);

/* ret:   how many pointers to the object there are */
long bench_shared_ptr_count(unsigned number);

/* Make a copy of the object's pointer in empty room, and destroy one. */
void bench_shared_ptr_copy(struct bench_shared_ptr *at, unsigned number);
void bench_shared_ptr_drop(struct bench_shared_ptr *at);

#ifdef __cplusplus
}
#endif

#endif
