// Compile a CUDA source with g++ and run its kernels on the CPU, bit for bit.
//
// The threads of a block are fibers: they run one after another, and switch where CUDA threads wait for each other, at
// barriers and shuffles. A barrier that some threads never reach, or a shuffle that names a lane which has exited, is an
// error with its place. Shared memory holds garbage when a block begins. The order of blocks and threads turns with a
// seed. Under ThreadSanitizer each CUDA thread is a fiber of its own, and switching orders nothing, so that a missing
// barrier is a data race; under AddressSanitizer every access is checked.
//
// Left out on purpose: the memory model of a GPU, timing, dynamic shared memory, textures, tensor cores, inline PTX. A
// source says in C++, under PUREDROP_HOST, what it otherwise says in PTX.
#pragma once
#define PUREDROP_HOST 1
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// A section of its own, so that the launcher finds all shared variables. What includes this stands in an unnamed
// namespace: statics of templates would otherwise be merged by the linker, which such a section does not allow.
#define __shared__ static __attribute__((section("cuda_shared")))
#define UNWATCHED __attribute__((no_sanitize("thread", "address")))

struct uint3 { unsigned x, y, z; };
struct uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(8) float2 { float x, y; };
struct __align__(16) double2 { double x, y; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }

extern "C" char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));

namespace cuda_host {

enum State { READY, EXITED, AT_BARRIER, AT_SHUFFLE };
const char* const WAITS_AT[] = {"", "", "__syncthreads", "__shfl_xor_sync"};
const unsigned WARP = 32, MOST_THREADS = 1024;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
const size_t STACK = 256 << 10;
#else
const size_t STACK = 64 << 10;
#endif

struct Thread {
  ucontext_t context;
  State state;
  uint3 index;
  uint64_t value;   // what it gives to a shuffle, then what it gets
  unsigned mask, partner;
  unsigned waits[4];  // how often it has waited, by state
  void* tsan_fiber;
};

struct Launch {
  void (*kernel)(void**);
  void** arguments;
  uint3 grid, block, at;  // at: the block that runs
  unsigned threads;
  uint64_t order;
  char* message;  // of the first error; empty while there is none
  int room;
};

static Thread* threads;
static char* stacks;
static ucontext_t scheduler;
static void* scheduler_fiber;
static unsigned current;
static Launch now;
// Addresses, for ThreadSanitizer. Two for a place to wait, in turn: what a thread does on its way to the next wait is not
// before what others do after this one.
static char begin_key, end_key, block_key, barrier_keys[2], warp_keys[MOST_THREADS / WARP][2];

UNWATCHED static void fail(const char* what, unsigned thread) {
  if (now.message[0]) return;
  uint3 b = now.at, t = threads[thread].index;
  snprintf(now.message, now.room, "%s (block %u,%u,%u thread %u,%u,%u)", what, b.x, b.y, b.z, t.x, t.y, t.z);
}

static void happens_before(void* key) {
#ifdef __SANITIZE_THREAD__
  __tsan_release(key);
#endif
}

static void happens_after(void* key) {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(key);
#endif
}

UNWATCHED static void switch_to_scheduler() {
  Thread& me = threads[current];
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(scheduler_fiber, 1);  // 1: the switch itself orders nothing
#endif
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack;
  __sanitizer_start_switch_fiber(&fake_stack, nullptr, 0);
#endif
  swapcontext(&me.context, &scheduler);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

UNWATCHED static void switch_to_thread(unsigned i) {
  current = i;
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(threads[i].tsan_fiber, 1);
#endif
#ifdef __SANITIZE_ADDRESS__
  void* fake_stack;
  __sanitizer_start_switch_fiber(&fake_stack, stacks + i * STACK, STACK);
#endif
  swapcontext(&scheduler, &threads[i].context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

UNWATCHED static void run_thread() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  happens_after(&begin_key);
  now.kernel(now.arguments);
  happens_before(&block_key);
  happens_before(&end_key);
  threads[current].state = EXITED;
  switch_to_scheduler();
}

// What a thread calls to wait. The barrier orders what all threads of the block do, a shuffle what its warp does.
UNWATCHED static uint64_t wait_at(State where, unsigned mask = 0, uint64_t value = 0, unsigned partner = 0) {
  unsigned i = current;
  Thread& me = threads[i];
  me.state = where;
  me.mask = mask;
  me.value = value;
  me.partner = partner;
  const unsigned turn = me.waits[where]++ & 1;
  void* key = where == AT_BARRIER ? &barrier_keys[turn] : &warp_keys[i / WARP][turn];
  happens_before(key);
  switch_to_scheduler();
  happens_after(key);
  return me.value;
}

// Exchange what the lanes of a warp hold once all that are named wait. False: nothing to do.
UNWATCHED static bool shuffle(unsigned first) {
  unsigned lanes = now.threads - first < WARP ? now.threads - first : WARP, waiting = 0;
  for (unsigned l = 0; l < lanes; ++l) waiting |= (unsigned)(threads[first + l].state == AT_SHUFFLE) << l;
  if (!waiting) return false;
  unsigned some = __builtin_ctz(waiting), mask = threads[first + some].mask;
  for (unsigned l = 0; l < WARP; ++l) {
    if (!(mask >> l & 1)) continue;
    if (l >= lanes || threads[first + l].state == EXITED) return fail("__shfl_xor_sync names a lane that has exited", first + some), false;
    if (threads[first + l].state != AT_SHUFFLE) return false;
    if (threads[first + l].mask != mask) return fail("__shfl_xor_sync: lanes name different masks", first + l), false;
  }
  if (!(mask >> some & 1)) return fail("__shfl_xor_sync: the calling lane is not in its mask", first + some), false;
  uint64_t values[WARP];
  for (unsigned l = 0; l < lanes; ++l) values[l] = threads[first + l].value;
  for (unsigned l = 0; l < lanes; ++l) {
    if (!(mask >> l & 1)) continue;
    unsigned from = l ^ threads[first + l].partner;
    if (from >= WARP || !(mask >> from & 1)) return fail("__shfl_xor_sync reads a lane outside its mask", first + l), false;
    threads[first + l].value = values[from];
    threads[first + l].state = READY;
  }
  return true;
}

UNWATCHED static void prepare(unsigned i) {
  Thread& t = threads[i];
  getcontext(&t.context);
  t.context.uc_stack.ss_sp = stacks + i * STACK;
  t.context.uc_stack.ss_size = STACK;
  t.context.uc_link = nullptr;
  makecontext(&t.context, run_thread, 0);
  t.state = READY;
  memset(t.waits, 0, sizeof t.waits);
  t.index = {i % now.block.x, i / now.block.x % now.block.y, i / now.block.x / now.block.y};
}

// All threads of a warp that can run, from a lane on that the order chooses. True: something ran.
UNWATCHED static bool run_warp(unsigned first) {
  unsigned lanes = now.threads - first < WARP ? now.threads - first : WARP;
  bool ran = false;
  do {
    for (unsigned l = 0; l < lanes && !now.message[0]; ++l) {
      unsigned i = first + (l + now.order) % lanes;
      if (threads[i].state != READY) continue;
      switch_to_thread(i);
      ran = true;
    }
  } while (shuffle(first));
  return ran;
}

UNWATCHED static void run_block() {
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(stacks, now.threads * STACK);  // the frames of fibers that never returned
#endif
  happens_after(&block_key);
  if (__start_cuda_shared) memset(__start_cuda_shared, 0xA5, __stop_cuda_shared - __start_cuda_shared);
  happens_before(&begin_key);
  for (unsigned i = 0; i < now.threads; ++i) prepare(i);
  const unsigned warps = (now.threads + WARP - 1) / WARP;
  for (;;) {
    bool ran = false;
    for (unsigned w = 0; w < warps && !now.message[0]; ++w) ran |= run_warp((w + now.order) % warps * WARP);
    if (now.message[0]) return;
    unsigned exited = 0, at_barrier = 0, stuck = 0;
    for (unsigned i = 0; i < now.threads; ++i) {
      exited += threads[i].state == EXITED;
      at_barrier += threads[i].state == AT_BARRIER;
      if (threads[i].state != EXITED) stuck = i;
    }
    if (exited == now.threads) return;
    if (at_barrier == now.threads) {
      for (unsigned i = 0; i < now.threads; ++i) threads[i].state = READY;
    } else if (!ran) {
      char text[160];
      snprintf(text, sizeof text, "deadlock at %s: %u of %u threads wait at a barrier, %u have exited", WAITS_AT[threads[stuck].state], at_barrier,
               now.threads, exited);
      return fail(text, stuck);
    }
  }
}

UNWATCHED static void make_fibers() {
  if (!stacks) {
    stacks = (char*)mmap(nullptr, MOST_THREADS * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    threads = (Thread*)calloc(MOST_THREADS, sizeof(Thread));
  }
#ifdef __SANITIZE_THREAD__
  scheduler_fiber = __tsan_get_current_fiber();
  for (unsigned i = 0; i < now.threads; ++i)
    if (!threads[i].tsan_fiber) threads[i].tsan_fiber = __tsan_create_fiber(0);
#endif
}

// Run blocks first .. stop of a launch; 0 where it went well. `order` turns the order of blocks, warps and lanes.
UNWATCHED static int launch(void (*kernel)(void**), const unsigned* g, const unsigned* b, void** arguments, uint64_t order, uint64_t first, uint64_t stop,
                  char* message, int room) {
  now = {kernel, arguments, {g[0], g[1], g[2]}, {b[0], b[1], b[2]}, {0, 0, 0}, b[0] * b[1] * b[2], order, message, room};
  message[0] = 0;
  const uint64_t all = (uint64_t)g[0] * g[1] * g[2];
  if (!all || g[0] > 0x7FFFFFFFu || g[1] > 65535 || g[2] > 65535 || !now.threads || now.threads > MOST_THREADS || b[2] > 64) {
    snprintf(message, room, "no GPU takes a grid of %u,%u,%u blocks of %u,%u,%u threads", g[0], g[1], g[2], b[0], b[1], b[2]);
    return 1;
  }
  make_fibers();
  if (!stop || stop > all) stop = all;
  for (uint64_t i = 0, n = stop - first; i < n && !message[0]; ++i) {
    uint64_t block = first + (order & 1 ? n - 1 - i : i);
    now.at = {(unsigned)(block % g[0]), (unsigned)(block / g[0] % g[1]), (unsigned)(block / g[0] / g[1])};
    run_block();
  }
  happens_after(&end_key);
  return message[0] != 0;
}

template <class> struct Signature;
template <class... A> struct Signature<void (*)(A...)> {
  template <void (*K)(A...)> static void call(void** arguments) { call_with<K>(arguments, std::index_sequence_for<A...>()); }
  template <void (*K)(A...), size_t... I> static void call_with(void** arguments, std::index_sequence<I...>) {
    K(*(typename std::remove_cv<A>::type*)arguments[I]...);
  }
  // "p8 u4 s32": of each parameter whether it is a pointer, a float, an integer or a structure, and its bytes
  static const char* text() {
    static char all[16 * sizeof...(A) + 1];
    char* end = all;
    ((end += sprintf(end, "%c%zu ", std::is_pointer<A>::value ? 'p' : std::is_floating_point<A>::value ? 'f' : std::is_integral<A>::value ? 'u' : 's', sizeof(A))), ...);
    return all;
  }
};

}  // namespace cuda_host

#define CUDA_HOST_EXPORT(i, ...)                                                                                                                   \
  extern "C" const char* cuda_signature_##i() { return cuda_host::Signature<decltype(&__VA_ARGS__)>::text(); }                                     \
  extern "C" int cuda_launch_##i(const unsigned* grid, const unsigned* block, void** arguments, uint64_t order, uint64_t first, uint64_t stop,      \
                                 char* message, int room) {                                                                                        \
    auto kernel = &cuda_host::Signature<decltype(&__VA_ARGS__)>::call<&__VA_ARGS__>;                                                               \
    return cuda_host::launch(kernel, grid, block, arguments, order, first, stop, message, room);                                                   \
  }

#define threadIdx (cuda_host::threads[cuda_host::current].index)
#define blockIdx (cuda_host::now.at)
#define blockDim (cuda_host::now.block)
#define gridDim (cuda_host::now.grid)

static inline void __syncthreads() { cuda_host::wait_at(cuda_host::AT_BARRIER); }

template <class V> static inline V __shfl_xor_sync(unsigned mask, V value, int partner) {
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = cuda_host::wait_at(cuda_host::AT_SHUFFLE, mask, bits, partner);
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline unsigned atomicAdd(unsigned* at, unsigned value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }

template <class To, class From> static inline To same_bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from, "");
  memcpy(&to, &from, sizeof to);
  return to;
}

static inline unsigned __float_as_uint(float f) { return same_bits<unsigned>(f); }
static inline float __uint_as_float(unsigned u) { return same_bits<float>(u); }

static inline void sincospi(double x, double* sine, double* cosine) {
  *sine = sin(M_PI * x);
  *cosine = cos(M_PI * x);
}

// What types.cu says in PTX.
static inline float times(float a, float b) { return a * b; }
static inline float plus(float a, float b) { return a + b; }
static inline double times(double a, double b) { return a * b; }
static inline double plus(double a, double b) { return a + b; }
static inline float half_to_float(unsigned short h) { return (float)same_bits<_Float16>(h); }
static inline unsigned short to_half(float f) { return same_bits<unsigned short>((_Float16)f); }
static inline unsigned short to_half(double d) { return same_bits<unsigned short>((_Float16)d); }
static inline unsigned signs_of_halves(unsigned a) { return (a & 0x8000u ? 0xFFFFu : 0u) | (a & 0x80000000u ? 0xFFFF0000u : 0u); }
static inline void store_sixteen(uint4* to, uint4 v) { *to = v; }
