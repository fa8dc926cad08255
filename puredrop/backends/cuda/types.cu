// Numbers: the element types, and arithmetic that rounds as NumPy's does.
//
// For all files: kernels have __launch_bounds__(256, 3): blocks of 256 threads, three of them at once on a processor. Left
// to itself the compiler keeps fewer registers than that allows, and spills on the newest GPUs.
//
// CuPy appends -ftz=true to the compiler's options, which flushes subnormal float32 results even of __fmul_rn. What is written
// as PTX is left alone, so multiplication and addition are PTX here; and never contracted to a fused multiply-add.
// Between the #if lines stands all that a device alone can say; host/cuda_host.h says the same in C++.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#ifndef PUREDROP_HOST
__device__ __forceinline__ float times(float a, float b) { float r; asm("mul.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
__device__ __forceinline__ float plus(float a, float b) { float r; asm("add.rn.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b)); return r; }
__device__ __forceinline__ double times(double a, double b) { double r; asm("mul.rn.f64 %0, %1, %2;" : "=d"(r) : "d"(a), "d"(b)); return r; }
__device__ __forceinline__ double plus(double a, double b) { double r; asm("add.rn.f64 %0, %1, %2;" : "=d"(r) : "d"(a), "d"(b)); return r; }
__device__ __forceinline__ float half_to_float(u16 h) { float r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h)); return r; }
__device__ __forceinline__ u16 to_half(float f) { u16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(f)); return r; }
__device__ __forceinline__ u16 to_half(double d) { u16 r; asm("cvt.rn.f16.f64 %0, %1;" : "=h"(r) : "d"(d)); return r; }
// Both halfwords of the result are the sign of a halfword of a, 16 times.
__device__ __forceinline__ u32 signs_of_halves(u32 a) { u32 r; asm("prmt.b32 %0, %1, 0, 0xBB99;" : "=r"(r) : "r"(a)); return r; }
__device__ __forceinline__ void store_sixteen(uint4* to, uint4 v) {
  asm("{ .reg .u64 p; cvta.to.global.u64 p, %0; st.global.v4.u32 [p], {%1, %2, %3, %4}; }" ::"l"(to), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
}
#endif

__device__ __forceinline__ float float_of(u32 bits) { return __uint_as_float(bits); }

__device__ __forceinline__ u32 halves(float low, float high) {
#if !defined(PUREDROP_HOST) && __CUDA_ARCH__ >= 800
  u32 r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  return to_half(low) | (u32)to_half(high) << 16;
#endif
}

// To the nearest bfloat16, ties to even, in whole numbers: for what has no instruction for it.
__device__ __forceinline__ u32 to_bfloat(float f) {
  u32 bits = __float_as_uint(f);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFFu;  // NaN, as the instruction gives it
  return (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
}

__device__ __forceinline__ u32 bfloats(float low, float high) {
#if !defined(PUREDROP_HOST) && __CUDA_ARCH__ >= 800
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  return to_bfloat(low) | to_bfloat(high) << 16;
#endif
}

// An element type: how it is stored, the type of its arithmetic, and pairs of elements as they lie in memory.
struct F64 {
  typedef double Store;
  typedef double Wide;
  typedef double2 Pair;
  static __device__ __forceinline__ Wide widen(Store s) { return s; }
  static __device__ __forceinline__ Store narrow(double w) { return w; }
  static __device__ __forceinline__ Wide first(Pair p) { return p.x; }
  static __device__ __forceinline__ Wide second(Pair p) { return p.y; }
  static __device__ __forceinline__ Pair pair(Wide a, Wide b) { return make_double2(a, b); }
};

struct F32 {
  typedef float Store;
  typedef float Wide;
  typedef float2 Pair;
  static __device__ __forceinline__ Wide widen(Store s) { return s; }
  static __device__ __forceinline__ Store narrow(float w) { return w; }
  static __device__ __forceinline__ Store narrow(double w) { return (float)w; }
  static __device__ __forceinline__ Wide first(Pair p) { return p.x; }
  static __device__ __forceinline__ Wide second(Pair p) { return p.y; }
  static __device__ __forceinline__ Pair pair(Wide a, Wide b) { return make_float2(a, b); }
};

struct F16 {
  typedef u16 Store;
  typedef float Wide;
  typedef u32 Pair;
  static __device__ __forceinline__ Wide widen(Store s) { return half_to_float(s); }
  static __device__ __forceinline__ Store narrow(float w) { return to_half(w); }
  static __device__ __forceinline__ Store narrow(double w) { return to_half(w); }
  static __device__ __forceinline__ Wide first(Pair p) { return half_to_float((u16)p); }
  static __device__ __forceinline__ Wide second(Pair p) { return half_to_float((u16)(p >> 16)); }
  static __device__ __forceinline__ Pair pair(Wide a, Wide b) { return halves(a, b); }
};

struct BF16 {
  typedef u16 Store;
  typedef float Wide;
  typedef u32 Pair;
  static __device__ __forceinline__ Wide widen(Store s) { return float_of((u32)s << 16); }
  static __device__ __forceinline__ Store narrow(float w) { return (u16)bfloats(w, 0.0f); }
  static __device__ __forceinline__ Wide first(Pair p) { return float_of(p << 16); }
  static __device__ __forceinline__ Wide second(Pair p) { return float_of(p & 0xFFFF0000u); }
  static __device__ __forceinline__ Pair pair(Wide a, Wide b) { return bfloats(a, b); }
};

// Eight consecutive elements: 16, 32 or 64 bytes, moved 16 at a time.
template <class T> struct __align__(16) Eight {
  typename T::Pair pair[4];
};

template <class T> __device__ __forceinline__ Eight<T> load_eight(const typename T::Store* from) { return *(const Eight<T>*)from; }

// In PTX, for the compiler stores a value that comes from a branch or a loop member by member otherwise.
template <class T> __device__ __forceinline__ void store_eight(typename T::Store* to, const Eight<T>& v) {
#pragma unroll
  for (u32 i = 0; i < sizeof v / sizeof(uint4); ++i) store_sixteen((uint4*)to + i, ((const uint4*)&v)[i]);
}

template <class T> __device__ __forceinline__ Eight<T> all_eight(typename T::Wide value) {
  typename T::Pair p = T::pair(value, value);
  return Eight<T>{{p, p, p, p}};
}

__device__ __forceinline__ bool aligned(const void* a, const void* b = 0, const void* c = 0) { return (((u64)a | (u64)b | (u64)c) & 15) == 0; }
