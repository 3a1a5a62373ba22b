// Threads that send parcels to one consumer through a ring or a stream, and what went wrong on the way. The
// same traffic runs through the real rings and through those with a planted race.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "stadial/arenas/byte_stream.h"
#include "support/arena_buffer.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas::testing {

// Whole if the second half says so.
struct Parcel {
  std::uint32_t sender = 0;
  std::uint32_t number = 0;
  std::uint64_t check = 0;

  static Parcel Make(std::uint32_t sender, std::uint32_t number) {
    return {sender, number, ~((std::uint64_t{sender} << 32) | number)};
  }
  bool IsWhole() const { return check == ~((std::uint64_t{sender} << 32) | number); }
};

// Takes parcels in, in any mixture of senders, and checks that each sender's arrive whole, once and in order.
class Receiver {
 public:
  explicit Receiver(std::uint32_t senders) : next_(senders, 0) {}
  void Take(const Parcel& parcel) {
    ++received_;
    if (!parcel.IsWhole()) {
      Note(Differs("a torn parcel: sender %u, number %u", parcel.sender, parcel.number));
    } else if (parcel.sender >= next_.size() || parcel.number != next_[parcel.sender]) {
      Note(Differs("sender %u: number %u out of order", parcel.sender, parcel.number));
    } else {
      ++next_[parcel.sender];
    }
  }
  void Note(const std::string& fault) {
    if (fault_.empty()) fault_ = fault;
  }
  std::uint64_t Received() const { return received_; }
  const std::string& Fault() const { return fault_; }

 private:
  std::vector<std::uint32_t> next_;
  std::uint64_t received_ = 0;
  std::string fault_;
};

// Fewer parcels under a sanitizer, where each costs ten times as much.
constexpr std::uint32_t Parcels(std::uint32_t count) { return STADIAL_TEST_SANITIZED ? count / 10 : count; }

// `senders` threads make themselves a send(number) and run it until it says true for each of `count` numbers;
// this thread runs drain(receiver) until all have arrived. Returns what went wrong, or nothing.
template <class MakeSend, class Drain>
std::string RunTraffic(std::uint32_t senders, std::uint32_t count, MakeSend&& makeSend, Drain&& drain) {
  Receiver receiver(senders);
  std::vector<std::thread> threads;
  for (std::uint32_t sender = 0; sender < senders; ++sender) {
    threads.emplace_back([&makeSend, sender, count] {
      auto send = makeSend(sender);
      for (std::uint32_t number = 0; number < count;) {
        if (send(number)) {
          ++number;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  while (receiver.Received() < std::uint64_t{senders} * count) {
    const std::uint64_t before = receiver.Received();
    drain(receiver);
    if (receiver.Received() == before) std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  return receiver.Fault();
}

template <class Ring>
std::string SendThroughSpscRing(std::size_t capacity, std::uint32_t count) {
  ArenaBuffer buffer;
  Ring ring(buffer.arena, capacity);
  return RunTraffic(
      1, Parcels(count),
      [&](std::uint32_t sender) {
        return [&ring, sender](std::uint32_t number) { return ring.TryPush(Parcel::Make(sender, number)); };
      },
      [&](Receiver& receiver) {
        // Both ways of taking, in turn.
        Parcel parcel;
        if (ring.TryPop(parcel)) receiver.Take(parcel);
        ring.Consume([&](const Parcel& each) { receiver.Take(each); });
      });
}

template <class Ring>
std::string SendThroughMpscRing(std::size_t capacity, std::uint32_t senders, std::uint32_t count) {
  ArenaBuffer buffer;
  Ring ring(buffer.arena, capacity);
  return RunTraffic(
      senders, Parcels(count),
      [&](std::uint32_t sender) {
        return [&ring, sender](std::uint32_t number) { return ring.TryPush(Parcel::Make(sender, number)); };
      },
      [&](Receiver& receiver) {
        Parcel parcel;
        if (ring.TryPop(parcel)) receiver.Take(parcel);
        ring.Consume([&](const Parcel& each) { receiver.Take(each); }, 7);
      });
}

template <class Stream>
std::string SendThroughEventStream(std::uint32_t senders, std::size_t eventsPerLane, std::uint32_t count) {
  ArenaBuffer buffer;
  Stream stream(buffer.arena, {.lanes = senders, .eventsPerLane = eventsPerLane});
  return RunTraffic(
      senders, Parcels(count),
      [&](std::uint32_t sender) {
        return [producer = stream.GetProducer(sender), sender](std::uint32_t number) mutable {
          return producer.TryPush(Parcel::Make(sender, number));
        };
      },
      [&](Receiver& receiver) {
        stream.Drain([&](std::uint32_t lane, const Parcel& parcel) {
          if (lane != parcel.sender) receiver.Note("a parcel in another's lane");
          receiver.Take(parcel);
        });
      });
}

// Records of varying sizes: the parcel, and as many bytes behind it as its number says.
template <class Stream>
std::string SendThroughByteStream(std::uint32_t senders, std::size_t bytesPerLane, std::uint32_t count) {
  ArenaBuffer buffer;
  Stream stream(buffer.arena, {.lanes = senders, .bytesPerLane = bytesPerLane});
  const std::size_t tailMax = stream.PayloadBytesMax() - sizeof(Parcel);
  const auto tailBytes = [tailMax](std::uint32_t number) { return (number * 7) % (tailMax + 1); };
  return RunTraffic(
      senders, Parcels(count),
      [&](std::uint32_t sender) {
        return [producer = stream.GetProducer(sender), sender, tailBytes](std::uint32_t number) mutable {
          std::byte* const payload = producer.TryReserve(number, sizeof(Parcel) + tailBytes(number));
          if (payload == nullptr) return false;
          const Parcel parcel = Parcel::Make(sender, number);
          std::memcpy(payload, &parcel, sizeof parcel);
          std::memset(payload + sizeof parcel, static_cast<int>(number % 256), tailBytes(number));
          producer.Publish();
          return true;
        };
      },
      [&](Receiver& receiver) {
        stream.Drain([&](std::uint32_t lane, const StreamRecord& record) {
          Parcel parcel;
          std::memcpy(&parcel, record.bytes.data(), sizeof parcel);
          receiver.Take(parcel);
          if (lane != parcel.sender) receiver.Note("a parcel in another's lane");
          if (record.tag != parcel.number) receiver.Note("another record's tag");
          if (record.bytes.size() != sizeof parcel + tailBytes(record.tag)) receiver.Note("another size");
          for (const std::byte each : record.bytes.subspan(sizeof parcel)) {
            if (each != static_cast<std::byte>(record.tag % 256)) receiver.Note("a torn record");
          }
        });
      });
}

}  // namespace stadial::arenas::testing
