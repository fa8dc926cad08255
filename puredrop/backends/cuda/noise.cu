// Uniform and normal numbers, computed in float64 and rounded once.
struct Four {
  double x, y, z, w;
};

__device__ __forceinline__ double uniform_of(u32 word) { return ((double)word + 0.5) * 0x1p-32; }

// Two words make two normal numbers, by the transform of Box and Muller: the even element takes the cosine.
__device__ __forceinline__ double2 normals_of(u32 word0, u32 word1) {
  double radius = sqrt(-2.0 * log(uniform_of(word0))), sine, cosine;
  sincospi(2.0 * uniform_of(word1), &sine, &cosine);
  return make_double2(radius * cosine, radius * sine);
}

__device__ __forceinline__ Four normals_at(const Run& run, const i64*, const Address& address, u64 first, u32) {
  uint4 r = philox(address, (run.start + first) >> 2);
  double2 a = normals_of(r.x, r.y), b = normals_of(r.z, r.w);
  return Four{a.x, a.y, b.x, b.y};
}

__device__ __forceinline__ Four normals_at(const Walk& walk, const i64* rows, Address address, u64 first, u32 count) {
  Cursor cursor = cursor_at(walk, rows, first);
  Drawn drawn = nothing_drawn();
  Four four{0, 0, 0, 0};
  ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
    draw_block(drawn, address, cursor.element >> 2);
    u32 even = (u32)cursor.element & 2;
    double2 two = normals_of(even ? drawn.r.z : drawn.r.x, even ? drawn.r.w : drawn.r.y);
    double value = cursor.element & 1 ? two.y : two.x;
    four = Four{i == 0 ? value : four.x, i == 1 ? value : four.y, i == 2 ? value : four.z, i == 3 ? value : four.w};
    advance(cursor, walk, rows, first + i + 1);
  }
  return four;
}

// Whole fours go to memory by 16 bytes, of float16 by 8.
template <class T> __device__ __forceinline__ void store_four(typename T::Store* to, const Four& four, u32 count) {
  __align__(16) typename T::Store v[4] = {T::narrow(four.x), T::narrow(four.y), T::narrow(four.z), T::narrow(four.w)};
  const u64 most = sizeof v < 16 ? sizeof v : 16;
  if (count == 4 && (u64)to % most == 0) {
    if constexpr (sizeof v < 16) {
      *(uint2*)to = *(const uint2*)v;
    } else {
#pragma unroll
      for (u32 i = 0; i < sizeof v / 16; ++i) store_sixteen((uint4*)to + i, ((const uint4*)v)[i]);
    }
    return;
  }
#pragma unroll
  for (u32 i = 0; i < 4; ++i)
    if (i < count) to[i] = v[i];
}

template <class T, class W> __global__ void __launch_bounds__(256, 3)
uniform(typename T::Store* __restrict__ out, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows) {
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    FOR_EACH_GROUP(first, 4, 0, where.size) {
      u32 count = (u32)least(4, where.size - first);
      uint4 r = words_at(where, rows, address, first, count);
      store_four<T>(out + k * where.size + first, Four{uniform_of(r.x), uniform_of(r.y), uniform_of(r.z), uniform_of(r.w)}, count);
    }
  }
}

template <class T, class W> __global__ void __launch_bounds__(256, 3)
normal(typename T::Store* __restrict__ out, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows) {
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    FOR_EACH_GROUP(first, 4, 0, where.size) {
      u32 count = (u32)least(4, where.size - first);
      store_four<T>(out + k * where.size + first, normals_at(where, rows, address, first, count), count);
    }
  }
}
