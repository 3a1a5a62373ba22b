// libsigc++: a signal for each type, a slot for each listener, called for the events of a vector. The filling
// is the vector's (see functions in event_bus_bench.cpp).
#include <sigc++/functors/mem_fun.h>
#include <sigc++/signal.h>

#include "signal_workload.h"

namespace {

using namespace stadial::bench;
using Signal = sigc::signal<void, const stadial::runtime::Event&>;

void Connect(Signal& signal, EventListener& listener) {
  signal.connect(sigc::mem_fun(listener, &EventListener::OnEvent));
}

}  // namespace

int main(int argc, char** argv) { return SignalMain<Signal>(argc, argv, "sigcxx", Connect); }
