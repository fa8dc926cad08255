// DropBlock: an element is dropped where a block that starts at a dropped seed covers it. A box is a product of intervals,
// so a tile is covered along its rows first, then along its columns, both in shared memory.
const u32 TILE = 32, LARGEST_BLOCK = 64, REACH = TILE + LARGEST_BLOCK - 1;

struct Blocks {
  u32 height, width, block_height, block_width;
  i64 row_step, column_step;  // from seed to seed, in element numbers
};

// Into `seeds`: which seeds of the tile at (top, left), and of what reaches into it from above and from the left, are dropped.
__device__ __forceinline__ void draw_seeds(u8 (*seeds)[REACH + 1], const Blocks& b, const Address& address, const Draw& draw, u64 first_seed, i64 top,
                                           i64 left) {
  const u32 high = TILE + b.block_height - 1, wide = TILE + b.block_width - 1, strips = (wide + 7) / 8;
  ONE_BY_ONE for (u32 task = threadIdx.x; task < high * strips; task += blockDim.x) {
    u32 i = task / strips, j = 8 * (task % strips);
    i64 row = top + i - (b.block_height - 1);
    const bool inside = row >= 0 && row <= (i64)(b.height - b.block_height);
    Drawn drawn = nothing_drawn();
    ONE_BY_ONE for (u32 stop = j + 8 < wide ? j + 8 : wide; j < stop; ++j) {
      i64 column = left + j - (b.block_width - 1);
      seeds[i][j] = inside && column >= 0 && column <= (i64)(b.width - b.block_width) &&
                    is_dropped(drawn, address, first_seed + row * b.row_step + column * b.column_step, draw.hi, draw.lo);
    }
  }
}

__global__ void __launch_bounds__(256, 3)
block_mask(u8* __restrict__ keep, u32* __restrict__ kept, Blocks b, Draw draw, const u32* __restrict__ keys, u32 key_count, const __grid_constant__ Walk where,
           const i64* __restrict__ rows) {
  __shared__ u8 seeds[REACH][REACH + 1], covered[REACH][TILE];
  const u64 across = (b.width + TILE - 1) / TILE, tiles = across * ((b.height + TILE - 1) / TILE);
  const u32 high = TILE + b.block_height - 1;
  FOR_EACH_KEY(k) {
    Address address = address_of(draw, keys, k);
    ONE_BY_ONE for (u64 task = blockIdx.x; task < where.size * tiles; task += gridDim.x) {
      u64 map = quotient(task, tiles), tile = task - map * tiles;
      i64 top = tile / across * TILE, left = tile % across * TILE;
      draw_seeds(seeds, b, address, draw, cursor_at(where, rows, map).element, top, left);
      __syncthreads();
      ONE_BY_ONE for (u32 t = threadIdx.x; t < high * TILE; t += blockDim.x) {
        u32 any = 0, i = t / TILE, j = t % TILE;
        ONE_BY_ONE for (u32 o = 0; o < b.block_width; ++o) any |= seeds[i][j + o];
        covered[i][j] = any;
      }
      __syncthreads();
      u64 here = k * where.size + map;
      u32 count = 0;
      ONE_BY_ONE for (u32 t = threadIdx.x; t < TILE * TILE; t += blockDim.x) {
        u32 any = 0, i = t / TILE, j = t % TILE;
        if (top + i >= b.height || left + j >= b.width) continue;
        ONE_BY_ONE for (u32 o = 0; o < b.block_height; ++o) any |= covered[i + o][j];
        keep[(here * b.height + top + i) * b.width + left + j] = !any;
        count += !any;
      }
      for (int lanes = 16; lanes; lanes >>= 1) count += __shfl_xor_sync(0xFFFFFFFFu, count, lanes);
      if (kept && threadIdx.x % 32 == 0) atomicAdd(kept + here, count);
      // No barrier here: the next tile's seeds are written while these are no longer read, and `covered` after the next one.
    }
  }
}
