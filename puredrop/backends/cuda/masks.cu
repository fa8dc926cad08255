// Masks and words as arrays, for those that want to see them.
template <class W> __global__ void __launch_bounds__(256, 3)
keep_bytes(u8* __restrict__ out, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows,
           const u32* __restrict__ his, const u64* __restrict__ los) {
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    u8* to = out + k * where.size;
    const u64 whole = (u64)to & 7 ? 0 : where.size & ~7ull;
    FOR_EACH_GROUP(first, 8, 0, whole) {
      Kept kept = kept_at(where, rows, address, draw, his, los, first);
      u32 two[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) two[i] = (kept.w[i] >> 15 & 1u) | (kept.w[i] >> 23 & 0x100u);
      *(uint2*)(to + first) = make_uint2(two[0] | two[1] << 16, two[2] | two[3] << 16);
    }
    FOR_EACH_GROUP(at, 1, whole, where.size) to[at] = one_at(where, rows, address, draw, his, los, at).kept;
  }
}

template <class W> __global__ void __launch_bounds__(256, 3)
keep_bits(u8* __restrict__ out, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows,
          const u32* __restrict__ his, const u64* __restrict__ los) {
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    u8* to = out + k * ((where.size + 7) >> 3);
    const u64 whole = where.size & ~7ull;
    FOR_EACH_GROUP(first, 8, 0, whole) to[first >> 3] = bits_of(kept_at(where, rows, address, draw, his, los, first));
    if (thread_number() == 0 && whole < where.size)
      to[whole >> 3] = kept_bits_at(where, rows, address, draw, his, los, whole, (u32)(where.size - whole));
  }
}

// The words of four positions from `first` on, a multiple of 4; undefined beyond `count`.
__device__ __forceinline__ uint4 words_at(const Run& run, const i64*, const Address& address, u64 first, u32) {
  return philox(address, (run.start + first) >> 2);
}

__device__ __forceinline__ uint4 words_at(const Walk& walk, const i64* rows, Address address, u64 first, u32 count) {
  Cursor cursor = cursor_at(walk, rows, first);
  Drawn drawn = nothing_drawn();
  uint4 words = make_uint4(0, 0, 0, 0);
  ONE_BY_ONE for (u32 i = 0; i < count; ++i) {
    draw_block(drawn, address, cursor.element >> 2);
    u32 word = word_of(drawn.r, (u32)cursor.element & 3);
    words = make_uint4(i == 0 ? word : words.x, i == 1 ? word : words.y, i == 2 ? word : words.z, i == 3 ? word : words.w);
    advance(cursor, walk, rows, first + i + 1);
  }
  return words;
}

template <class W> __global__ void __launch_bounds__(256, 3)
words(u32* __restrict__ out, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ W where, const i64* __restrict__ rows) {
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    u32* to = out + k * where.size;
    FOR_EACH_GROUP(first, 4, 0, where.size) {
      u32 count = (u32)least(4, where.size - first);
      uint4 four = words_at(where, rows, address, first, count);
      if (count == 4 && aligned(to))
        *(uint4*)(to + first) = four;
      else
        ONE_BY_ONE for (u32 i = 0; i < count; ++i) to[first + i] = word_of(four, i);
    }
  }
}
