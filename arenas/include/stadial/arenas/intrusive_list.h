// IntrusiveList: a doubly linked list whose links lie in the elements, so that it needs no memory of its own.
//
//   struct Job : IntrusiveLink<> { ... };            // in one list at a time
//   struct Node : IntrusiveLink<ByName>, IntrusiveLink<ByAge> { ... };  // in one list of each tag
//
// Growth:       any number of elements; they are the caller's, wherever they live.
// Exhaustion:   there is none.
// Alignment:    the elements'.
// Destructors:  none run; neither a list nor a link unlinks anything when it dies. Storable in an arena.
// Threads:      one at a time for a list and all its elements.
// Invalidation: elements never move. An element must leave its list before its memory goes: Clear the list
//               before the arena of its elements is rewound. Not copyable; a moved-from list is empty.
//               Copying an element copies everything but its link.
//
// Cost: everything O(1), Clear and Contains O(size). Inserting an element that is in a list already, and
// removing one that is in none, assert; that it is this list is checked at assertion level full.
#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>

#include "stadial/arenas/assert.h"

namespace stadial::arenas {

template <class T, class Tag>
class IntrusiveList;

template <class Tag = void>
class IntrusiveLink {
 public:
  constexpr IntrusiveLink() noexcept = default;
  constexpr IntrusiveLink(const IntrusiveLink&) noexcept {}
  constexpr IntrusiveLink& operator=(const IntrusiveLink&) noexcept {
    return *this;
  }  // NOLINT(cert-oop54-cpp)
  bool IsLinked() const noexcept { return next_ != nullptr; }

 private:
  template <class T, class AnyTag>
  friend class IntrusiveList;
  IntrusiveLink* next_ = nullptr;  // nullptr in no list; previous_ then means nothing
  IntrusiveLink* previous_ = nullptr;
};

template <class T, class Tag = void>
class IntrusiveList {
  using Link = IntrusiveLink<Tag>;
  template <class Value>
  class BasicIterator;

 public:
  using value_type = T;
  using iterator = BasicIterator<T>;
  using const_iterator = BasicIterator<const T>;

  IntrusiveList() noexcept { MakeEmpty(); }
  IntrusiveList(IntrusiveList&& other) noexcept {
    MakeEmpty();
    SpliceBack(other);
  }
  // The elements it had are unlinked.
  IntrusiveList& operator=(IntrusiveList&& other) noexcept {
    if (this != &other) {
      Clear();
      SpliceBack(other);
    }
    return *this;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  void PushFront(T& element) noexcept { InsertBetween(ends_, element, *ends_.next_); }
  void PushBack(T& element) noexcept { InsertBetween(*ends_.previous_, element, ends_); }
  void InsertBefore(T& place, T& element) noexcept {
    Link& link = LinkOf(place);
    STADIAL_ASSERT(link.IsLinked(), "the place is in no list");
    STADIAL_ASSERT_FULL(Contains(place), "the place is in another list");
    InsertBetween(*link.previous_, element, link);
  }
  void InsertAfter(T& place, T& element) noexcept {
    Link& link = LinkOf(place);
    STADIAL_ASSERT(link.IsLinked(), "the place is in no list");
    STADIAL_ASSERT_FULL(Contains(place), "the place is in another list");
    InsertBetween(link, element, *link.next_);
  }
  // Moves all elements of `other` behind this list's. O(1).
  void SpliceBack(IntrusiveList& other) noexcept {
    STADIAL_ASSERT(this != &other, "a list cannot be spliced into itself");
    if (other.IsEmpty()) return;
    Join(*ends_.previous_, *other.ends_.next_);
    Join(*other.ends_.previous_, ends_);
    size_ += other.size_;
    other.MakeEmpty();
  }

  void Remove(T& element) noexcept {
    Link& link = LinkOf(element);
    STADIAL_ASSERT(link.IsLinked(), "the element is in no list");
    STADIAL_ASSERT_FULL(Contains(element), "the element is in another list");
    Join(*link.previous_, *link.next_);
    link.next_ = nullptr;
    --size_;
  }
  // nullptr when empty.
  [[nodiscard]] T* TryPopFront() noexcept {
    T* const element = Front();
    if (element != nullptr) Remove(*element);
    return element;
  }
  [[nodiscard]] T* TryPopBack() noexcept {
    T* const element = Back();
    if (element != nullptr) Remove(*element);
    return element;
  }
  // Unlinks every element.
  void Clear() noexcept {
    for (Link* link = ends_.next_; link != &ends_;) {
      Link* const next = link->next_;
      link->next_ = nullptr;
      link = next;
    }
    MakeEmpty();
  }

  // nullptr when empty.
  T* Front() noexcept { return IsEmpty() ? nullptr : ElementOf(ends_.next_); }
  const T* Front() const noexcept { return IsEmpty() ? nullptr : ElementOf(ends_.next_); }
  T* Back() noexcept { return IsEmpty() ? nullptr : ElementOf(ends_.previous_); }
  const T* Back() const noexcept { return IsEmpty() ? nullptr : ElementOf(ends_.previous_); }

  bool Contains(const T& element) const noexcept {
    const Link* const wanted = &static_cast<const Link&>(element);
    for (const Link* link = ends_.next_; link != &ends_; link = link->next_) {
      if (link == wanted) return true;
    }
    return false;
  }

  // An iterator is read ahead: the element it points at may be removed, the next one may not.
  iterator begin() noexcept { return iterator(ends_.next_); }
  iterator end() noexcept { return iterator(&ends_); }
  const_iterator begin() const noexcept { return const_iterator(ends_.next_); }
  const_iterator end() const noexcept { return const_iterator(&ends_); }

  std::size_t Size() const noexcept { return size_; }
  bool IsEmpty() const noexcept { return size_ == 0; }

 private:
  static Link& LinkOf(T& element) noexcept { return static_cast<Link&>(element); }
  static T* ElementOf(Link* link) noexcept { return static_cast<T*>(link); }
  static const T* ElementOf(const Link* link) noexcept { return static_cast<const T*>(link); }

  template <class Value>
  class BasicIterator {
    using ValueLink = std::conditional_t<std::is_const_v<Value>, const Link, Link>;

   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = Value*;
    using reference = Value&;

    BasicIterator() noexcept = default;
    explicit BasicIterator(ValueLink* link) noexcept : link_(link), next_(link->next_) {}
    Value& operator*() const noexcept { return *ElementOf(link_); }
    Value* operator->() const noexcept { return ElementOf(link_); }
    BasicIterator& operator++() noexcept {
      *this = BasicIterator(next_);
      return *this;
    }
    BasicIterator operator++(int) noexcept {
      const BasicIterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const BasicIterator& left, const BasicIterator& right) noexcept {
      return left.link_ == right.link_;
    }

   private:
    ValueLink* link_ = nullptr;
    ValueLink* next_ = nullptr;
  };

  static void Join(Link& before, Link& behind) noexcept {
    before.next_ = &behind;
    behind.previous_ = &before;
  }
  void InsertBetween(Link& before, T& element, Link& behind) noexcept {
    Link& link = LinkOf(element);
    STADIAL_ASSERT(!link.IsLinked(), "the element is in a list of this tag already");
    Join(before, link);
    Join(link, behind);
    ++size_;
  }
  void MakeEmpty() noexcept {
    Join(ends_, ends_);
    size_ = 0;
  }

  Link ends_;  // before the first element and behind the last
  std::size_t size_ = 0;
};

}  // namespace stadial::arenas
