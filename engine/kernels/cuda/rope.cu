#include "engine/kernels/cuda/device_math.cuh"
#include "engine/kernels/cuda/kernels.h"

namespace saccade::kernels::cuda {
namespace {

constexpr int kThreads = 128;

// Block (token, some of its heads). A thread takes two elements of a head: a pair that turns
// together (c, c + half), or behind the rotated part two neighbours.
template <typename T>
__global__ void rope_kernel(const RopeArgs args) {
  let_next_start();
  const int pairs = (args.head_dim + 1) / 2;
  const int i = blockIdx.y * kThreads + threadIdx.x;
  const int head = i / pairs, c = i % pairs;
  if (head >= args.heads + 2 * args.kv_heads) return;
  const int64_t token = blockIdx.x;
  const int half = args.rotary_dim / 2;
  const bool is_value = head >= args.heads + args.kv_heads;
  const bool turns = !is_value && c < half;
  const int first = turns ? c : 2 * c, second = turns ? c + half : first + 1;
  wait_for_previous();
  T* from = static_cast<T*>(args.qkv) + token * args.qkv_stride + int64_t{head} * args.head_dim;
  float a = to_float(from[first]);
  float b = second < args.head_dim ? to_float(from[second]) : 0.0f;
  if (turns) {
    const float cos = args.cos[token * args.table_stride + c];
    const float sin = args.sin[token * args.table_stride + c];
    const float turned = a * cos - b * sin;
    b = b * cos + a * sin;
    a = turned;
  }
  T* to = from;
  if (head >= args.heads) {
    const int64_t slot = args.slots[token];
    if (slot < 0) return;
    const int64_t block = slot / args.block_size, offset = slot % args.block_size;
    const int kv_head = (head - args.heads) % args.kv_heads;
    T* pool = static_cast<T*>(is_value ? args.v_pool : args.k_pool);
    to = pool + ((block * args.kv_heads + kv_head) * args.block_size + offset) * args.head_dim;
  } else if (!turns) {
    return;
  }
  to[first] = rounded<T>(a);
  if (second < args.head_dim) to[second] = rounded<T>(b);
}

}  // namespace

void rope_and_write_kv(const RopeArgs& args, Stream stream) {
  if (args.num_tokens == 0) return;
  const int work = (args.heads + 2 * args.kv_heads) * ((args.head_dim + 1) / 2);
  const dim3 grid(static_cast<unsigned>(args.num_tokens),
                  static_cast<unsigned>((work + kThreads - 1) / kThreads));
  with_element(args.type == ElementType::kFloat32, [&](auto element) {
    launch("rope_and_write_kv", rope_kernel<decltype(element)>, {grid, kThreads}, stream, args);
  });
}

}  // namespace saccade::kernels::cuda
