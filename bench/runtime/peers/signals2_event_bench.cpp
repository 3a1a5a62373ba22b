// boost::signals2: a signal for each type, a slot for each listener, called for the events of a vector. The
// filling is the vector's (see functions in event_bus_bench.cpp). In its fastest form: no lock is taken.
#include <boost/signals2/dummy_mutex.hpp>
#include <boost/signals2/signal_type.hpp>

#include "signal_workload.h"

namespace {

using namespace stadial::bench;
namespace signals = boost::signals2;

using Signal = signals::signal_type<void(const stadial::runtime::Event&),
                                    signals::keywords::mutex_type<signals::dummy_mutex>>::type;

void Connect(Signal& signal, EventListener& listener) {
  signal.connect([&listener](const stadial::runtime::Event& event) { listener.OnEvent(event); });
}

}  // namespace

int main(int argc, char** argv) { return SignalMain<Signal>(argc, argv, "signals2", Connect); }
