// Where the elements are: the affine rule of puredrop/random/index.py, for positions in a flat array.
const int AXES = 8;

// Elements start .. start + size, start a multiple of 8: eight positions from a multiple of 8 on are one block.
struct Run {
  static const bool WHOLE_BLOCKS = true;
  u64 start, size;
};

// Position (i_0, ..., i_n), in C order, is element offset + rows[i_0] * element[0] + sum of i_k * element[k]. The same
// walk with the strides `rate` finds its entry in a table of thresholds and scales.
struct Walk {
  static const bool WHOLE_BLOCKS = false;
  u64 offset, size, axes;
  u64 shape[AXES];
  i64 element[AXES], rate[AXES];
};

__device__ __forceinline__ u64 thread_number() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }

__device__ __forceinline__ u64 threads_in_all() { return (u64)gridDim.x * blockDim.x; }

// Loops that run seldom, or long: unrolled they would only be longer to compile.
#define ONE_BY_ONE _Pragma("unroll 1")
#define FOR_EACH_KEY(k) ONE_BY_ONE for (u32 k = blockIdx.y; k < key_count; k += gridDim.y)
#define FOR_EACH_GROUP(first, n, start, stop) ONE_BY_ONE for (u64 first = start + n * thread_number(); first < stop; first += n * threads_in_all())

__device__ __forceinline__ u64 least(u64 a, u64 b) { return a < b ? a : b; }

// A division of 64 bits is a function of a hundred instructions, and its call costs registers wherever it stands. It is
// seldom needed: then, bit by bit.
__device__ __forceinline__ u64 quotient(u64 a, u64 b) {
  if (((a | b) >> 32) == 0) return (u32)a / (u32)b;
  u64 q = 0, rest = 0;
  ONE_BY_ONE for (int bit = 63; bit >= 0; --bit) {
    rest = rest << 1 | (a >> bit & 1);
    q <<= 1;
    if (rest >= b) rest -= b, ++q;
  }
  return q;
}

// What walks along positions, and knows the element and the rate of each.
struct Cursor {
  u64 element, inner;
  i64 rate;
};

__device__ __forceinline__ Cursor cursor_at(const Run& run, const i64*, u64 position) { return Cursor{run.start + position, 0, 0}; }

__device__ __forceinline__ void advance(Cursor& cursor, const Run&, const i64*, u64) { ++cursor.element; }

__device__ __forceinline__ Cursor cursor_at(const Walk& walk, const i64* rows, u64 position) {
  Cursor cursor{walk.offset, 0, 0};
  u64 rest = position;
  ONE_BY_ONE for (u64 axis = walk.axes - 1; axis > 0; --axis) {
    u64 q = quotient(rest, walk.shape[axis]), i = rest - q * walk.shape[axis];
    cursor.element += i * walk.element[axis];
    cursor.rate += i * walk.rate[axis];
    if (axis == walk.axes - 1) cursor.inner = i;
    rest = q;
  }
  cursor.element += (rows ? (u64)rows[rest] : rest) * walk.element[0];
  cursor.rate += rest * walk.rate[0];
  if (walk.axes == 1) cursor.inner = rest;
  return cursor;
}

// To `position`, the one after the cursor's.
__device__ __forceinline__ void advance(Cursor& cursor, const Walk& walk, const i64* rows, u64 position) {
  u64 last = walk.axes - 1;
  ++cursor.inner;
  if (cursor.inner == walk.shape[last] || (last == 0 && rows)) {
    if (position < walk.size) cursor = cursor_at(walk, rows, position);
  } else {
    cursor.element += walk.element[last];
    cursor.rate += walk.rate[last];
  }
}

// The block drawn last, for elements that come one by one.
struct Drawn {
  u64 block;
  uint4 r;
};

__device__ __forceinline__ Drawn nothing_drawn() { return Drawn{~0ull, make_uint4(0, 0, 0, 0)}; }

__device__ __forceinline__ void draw_block(Drawn& drawn, const Address& address, u64 block) {
  if (drawn.block != block) drawn = Drawn{block, philox(address, block)};
}

__device__ __forceinline__ bool is_dropped(Drawn& drawn, const Address& address, u64 e, u32 hi, u64 lo) {
  draw_block(drawn, address, e >> 3);
  u32 h = halfword_of(drawn.r, (u32)e & 7);
  return h < hi || (h == hi && lo && tie_is_dropped(address, e, lo));
}

// Which of the `count` elements from position `first` on are kept, as bits, element after element.
template <class W> __device__ __forceinline__ u32 kept_bits_at(const W& where, const i64* rows, const Address& address, const Draw& draw, const u32* his,
                                                               const u64* los, u64 first, u32 count) {
  Cursor cursor = cursor_at(where, rows, first);
  Drawn drawn = nothing_drawn();
  u32 kept = 0;
  ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
    u32 hi = his ? his[cursor.rate] : draw.hi;
    u64 lo = los ? los[cursor.rate] : draw.lo;
    kept |= (u32)!is_dropped(drawn, address, cursor.element, hi, lo) << i;
    advance(cursor, where, rows, first + i + 1);
  }
  return kept;
}

// Which of the eight elements from position `first` on are kept; `first` is a multiple of 8.
template <class A> __device__ __forceinline__ Kept kept_at(const Run& run, const i64*, const A& address, const Draw& draw, const u32*, const u64*, u64 first) {
  return decide(address, (run.start + first) >> 3, draw.hi, draw.lo);
}

template <class A> __device__ __forceinline__ Kept kept_at(const Walk& walk, const i64* rows, const A& address, const Draw& draw, const u32* his,
                                                           const u64* los, u64 first) {
  return kept_from_bits(kept_bits_at(walk, rows, short_address(address), draw, his, los, first, 8));
}

// For what is left over: whether one element is kept.
__device__ __forceinline__ bool element_is_kept(Address address, u64 e, u32 hi, u64 lo) {
  Drawn drawn = nothing_drawn();
  return !is_dropped(drawn, address, e, hi, lo);
}

struct One {
  bool kept;
  i64 rate;  // its entry in a table of rates
};

__device__ __forceinline__ One one_at(const Run& run, const i64*, const Address& address, const Draw& draw, const u32*, const u64*, u64 position) {
  return One{element_is_kept(address, run.start + position, draw.hi, draw.lo), 0};
}

__device__ __forceinline__ One one_at(const Walk& walk, const i64* rows, const Address& address, const Draw& draw, const u32* his, const u64* los, u64 position) {
  Cursor cursor = cursor_at(walk, rows, position);
  return One{element_is_kept(address, cursor.element, his ? his[cursor.rate] : draw.hi, los ? los[cursor.rate] : draw.lo), cursor.rate};
}

// The scale of one element: only a Walk finds it in a table.
template <class Wide> __device__ __forceinline__ Wide scale_at(const Run&, const Wide*, i64, Wide one_scale) { return one_scale; }

template <class Wide> __device__ __forceinline__ Wide scale_at(const Walk&, const Wide* scales, i64 rate, Wide one_scale) {
  return scales ? scales[rate] : one_scale;
}
