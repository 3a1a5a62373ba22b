// What reachability_test.py compiles: a node's Execute that is innocent, and with one macro each the same
// with a violation planted where only a walk of the calls can see it.
#include <cstdlib>
#include <new>
#include <stdexcept>

namespace planted {

struct Shape {
  virtual ~Shape() = default;
  virtual int Area() const noexcept = 0;
};

struct Square final : Shape {
  int side = 2;
#ifdef PLANT_VIRTUAL
  [[gnu::noinline]] int Scratch() const noexcept {
    int* const copy = new int(side);
    const int area = *copy * *copy;
    delete copy;
    asm volatile("" : : "r"(copy) : "memory");
    return area;
  }
  int Area() const noexcept override { return Scratch(); }
#else
  int Area() const noexcept override { return side * side; }
#endif
};

// A second one, so that the compiler does not guess which it is.
struct Line final : Shape {
  int Area() const noexcept override { return 0; }
};

// In Setup, where allocating is right: not reachable from Execute.
[[gnu::noinline]] Shape* Setup(bool isLine) {
  if (isLine) return new Line();
  return new Square();
}

[[gnu::noinline]] int Third(int value) {
#ifdef PLANT_DEEP
  void* const block = std::malloc(static_cast<std::size_t>(value));
  asm volatile("" : : "r"(block) : "memory");
  std::free(block);
#endif
#ifdef PLANT_THROW
  if (value < 0) throw std::runtime_error("negative");
#endif
  asm volatile("" : "+r"(value));
  return value;
}
[[gnu::noinline]] int Second(int value) { return Third(value + 1) + 1; }
[[gnu::noinline]] int First(int value) { return Second(value + 1) + 1; }

using Callback = int (*)(int);
// A switch jumps through a table, which is no indirect call.
[[gnu::noinline]] int Choose(int value) {
  switch (value) {
    case 0:
      return First(7);
    case 1:
      return First(9) + 1;
    case 2:
      return Second(1);
    case 3:
      return Third(4) * 3;
    case 4:
      return First(3) - 5;
    case 5:
      return Second(value) * value;
    default:
      return 0;
  }
}

struct Node {
  const Shape* shape;
  Callback callback;
  int Execute(int value) {
    value += Choose(value) + shape->Area();
#ifdef PLANT_CALLBACK
    value += callback(value);
#endif
    return value;
  }
};

int Frame(Node& node) { return node.Execute(1); }

}  // namespace planted
