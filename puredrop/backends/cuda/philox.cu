// Random bits: Philox4x32-10, and the decision of eight elements from one block of it.
const int ROUNDS = 10;

// The address of a key (see puredrop/random/key.py), its two words as each round has them: an instruction takes them from
// there, while computing them would cost as much as an eighth of everything else. And the threshold (see
// puredrop/random/bernoulli.py); p = 1 is hi = 65535, lo = 2^48.
struct Draw {
  u32 k0[ROUNDS], k1[ROUNDS], c1, c2, c3, hi;
  u64 lo;
};

// The same address, short.
struct Address {
  u32 k0, k1, c1, c2, c3;
};

__device__ __forceinline__ u32 first_word(const Draw& draw, int round) { return draw.k0[round]; }
__device__ __forceinline__ u32 second_word(const Draw& draw, int round) { return draw.k1[round]; }
__device__ __forceinline__ u32 first_word(const Address& address, int round) { return address.k0 + round * 0x9E3779B9u; }
__device__ __forceinline__ u32 second_word(const Address& address, int round) { return address.k1 + round * 0xBB67AE85u; }

__device__ __forceinline__ Address short_address(const Address& address) { return address; }
__device__ __forceinline__ Address short_address(const Draw& draw) { return Address{draw.k0[0], draw.k1[0], draw.c1, draw.c2, draw.c3}; }

// The address of key number k: that of `draw`, or one of those in device memory, which a CUDA graph does not freeze.
__device__ __forceinline__ Address address_of(const Draw& draw, const u32* keys, u32 k) {
  if (!keys) return short_address(draw);
  keys += 5 * (u64)k;
  return Address{keys[0], keys[1], keys[2], keys[3], keys[4]};
}

template <class A> __device__ __forceinline__ uint4 philox(const A& address, u64 block) {
  u32 c0 = (u32)block, c1 = (u32)(block >> 32) | address.c1, c2 = address.c2, c3 = address.c3;
#pragma unroll
  for (int round = 0; round < ROUNDS; ++round) {
    u64 product0 = (u64)0xD2511F53u * c0, product1 = (u64)0xCD9E8D57u * c2;
    c0 = (u32)(product1 >> 32) ^ c1 ^ first_word(address, round);
    c1 = (u32)product1;
    c2 = (u32)(product0 >> 32) ^ c3 ^ second_word(address, round);
    c3 = (u32)product0;
  }
  return make_uint4(c0, c1, c2, c3);
}

// Which of eight consecutive elements are kept: bit 15 of w[i] speaks for element 2i, bit 31 for element 2i + 1. Other bits
// are dirty. The sign of a halfword is what compares and selections of halfwords make and take in one instruction.
struct Kept {
  u32 w[4];
};

__device__ __forceinline__ Kept kept_from_bits(u32 m) {
  return Kept{{m << 15 | m << 30, m << 13 | m << 28, m << 11 | m << 26, m << 9 | m << 24}};
}

__device__ __forceinline__ u32 bits_of(const Kept& kept) {
  const u32 signs = 0x80008000u;
  u32 s = (kept.w[0] & signs) >> 6 | (kept.w[1] & signs) >> 4 | (kept.w[2] & signs) >> 2 | (kept.w[3] & signs);
  return (s >> 9 & 0x55u) | (s >> 24 & 0xAAu);
}

__device__ __forceinline__ u32 word_of(uint4 r, u32 i) { return i < 2 ? (i == 0 ? r.x : r.y) : (i == 2 ? r.z : r.w); }

__device__ __forceinline__ u32 halfword_of(uint4 r, u32 i) { return word_of(r, i >> 1) >> 16 * (i & 1) & 0xFFFFu; }

// Whether element e, whose halfword equals hi, is dropped: a draw of kind 1 with 48 bits more.
__device__ __forceinline__ bool tie_is_dropped(Address address, u64 e, u64 lo) {
  address.c3 += 1u << 24;
  uint4 r = philox(address, e >> 1);
  u64 t = e & 1 ? r.z | (u64)r.w << 32 : r.x | (u64)r.y << 32;
  return t >> 16 < lo;
}

// Which elements of a block are ties that are dropped: asked once in 8,192 blocks. As a function of its own it would cost
// the others more than it does as a branch that is not taken: registers that a call must leave alone, and spills.
__device__ __forceinline__ u32 dropped_ties(Address address, u64 block, uint4 r, u32 hi, u64 lo) {
  u32 dropped = 0;
#pragma unroll 1
  for (u32 i = 0; i < 8; ++i)
    if (halfword_of(r, i) == hi && tie_is_dropped(address, 8 * block + i, lo)) dropped |= 1u << i;
  return dropped;
}

// In both halfwords of a word, the sign says whether that of h is not below that of t.
__device__ __forceinline__ u32 not_below(u32 h, u32 t) {
  const u32 signs = 0x80008000u;
  u32 difference = (h | signs) - (t & ~signs);  // of the lower 15 bits; its sign is set where nothing was borrowed
  return (h & ~t) | (~(h ^ t) & difference);
}

// Signs somewhere if, and only if, a halfword of `h` equals that of t.
__device__ __forceinline__ u32 equal_somewhere(u32 h, u32 t) {
  u32 x = h ^ t;
  return (x - 0x00010001u) & ~x;
}

// Which elements of a block are kept at one threshold.
template <class A> __device__ __forceinline__ Kept decide(const A& address, u64 block, u32 hi, u64 lo) {
  uint4 r = philox(address, block);
  u32 t = hi | hi << 16;
  Kept kept{{not_below(r.x, t), not_below(r.y, t), not_below(r.z, t), not_below(r.w, t)}};
  u32 ties = (equal_somewhere(r.x, t) | equal_somewhere(r.y, t) | equal_somewhere(r.z, t) | equal_somewhere(r.w, t)) & 0x80008000u;
  if (__builtin_expect(ties && lo, 0)) {
    Kept lost = kept_from_bits(dropped_ties(short_address(address), block, r, hi, lo));
#pragma unroll
    for (int i = 0; i < 4; ++i) kept.w[i] &= ~lost.w[i];
  }
  return kept;
}
