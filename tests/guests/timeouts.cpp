// Waits of the C++ library for a time on its clocks.
//
//   timeouts MS       makes each wait in a thread of its own, all at once, for a deadline that is
//                     MS away, and prints a line for each that ends: its name, what came of it,
//                     and how many milliseconds it took; then all that once more, now from
//                     places in the code that have waited before
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono;

// Held by the first thread for as long as the program runs.
static std::timed_mutex held;
static std::recursive_timed_mutex held_recursive;
static std::shared_timed_mutex held_shared;

static const char *said(bool got) { return got ? "got" : "timeout"; }
static const char *said(std::future_status s) { return said(s == std::future_status::ready); }

// The waits that take a deadline, on one clock.
template <class Clock> static std::string until(int which, typename Clock::time_point at)
{
    std::mutex mutex;
    std::unique_lock lock(mutex);
    switch (which) {
    case 0: {
        std::condition_variable cond;
        while (cond.wait_until(lock, at) == std::cv_status::no_timeout)
            ;
        return "timeout";
    }
    case 1: {
        std::condition_variable cond;
        return said(cond.wait_until(lock, at, [] { return false; }));
    }
    case 2: {
        std::condition_variable_any cond;
        std::stop_source source;
        return said(cond.wait_until(lock, source.get_token(), at, [] { return false; }));
    }
    case 3: {
        std::promise<int> promise;
        return said(promise.get_future().wait_until(at));
    }
    case 4:
        return said(held.try_lock_until(at));
    case 5:
        return said(held_recursive.try_lock_until(at));
    case 6:
        return said(held_shared.try_lock_until(at));
    case 7:
        return said(held_shared.try_lock_shared_until(at));
    case 8: {
        std::counting_semaphore<1> empty(0);
        return said(empty.try_acquire_until(at));
    }
    case 9:
        std::this_thread::sleep_until(at);
        return "slept";
    }
    // The deadline is a minute later than the others', and another thread comes before it.
    bool met = false;
    std::condition_variable cond;
    std::jthread other([&] {
        std::this_thread::sleep_until(at);
        std::lock_guard guard(mutex);
        met = true;
        cond.notify_one();
    });
    std::string result = said(cond.wait_until(lock, at + minutes(1), [&] { return met; }));
    lock.unlock();
    return result;
}

static const char *const names[] = {
    "condition_variable::wait_until",
    "condition_variable::wait_until_predicate",
    "condition_variable_any::wait_until",
    "future::wait_until",
    "timed_mutex::try_lock_until",
    "recursive_timed_mutex::try_lock_until",
    "shared_timed_mutex::try_lock_until",
    "shared_timed_mutex::try_lock_shared_until",
    "counting_semaphore::try_acquire_until",
    "this_thread::sleep_until",
    "condition_variable::notify_before_deadline",
};

// The waits that take a duration; the library makes deadlines of them.
static std::string lasting(int which, milliseconds wait)
{
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable cond;
    std::promise<int> promise;
    switch (which) {
    case 0:
        return said(cond.wait_for(lock, wait, [] { return false; }));
    case 1:
        return said(promise.get_future().wait_for(wait));
    case 2:
        return said(held.try_lock_for(wait));
    case 3:
        return said(held_shared.try_lock_shared_for(wait));
    default:
        std::this_thread::sleep_for(wait);
        return "slept";
    }
}

static const char *const lasting_names[] = {
    "condition_variable::wait_for",
    "future::wait_for",
    "timed_mutex::try_lock_for",
    "shared_timed_mutex::try_lock_shared_for",
    "this_thread::sleep_for",
};

static void measure(const std::string &name, const std::function<std::string()> &wait)
{
    auto start = steady_clock::now();
    std::string result = wait();
    auto took = duration_cast<milliseconds>(steady_clock::now() - start);
    std::printf("%s %s %lld\n", name.c_str(), result.c_str(), (long long)took.count());
    std::fflush(stdout);
}

// Returns when all waits have ended.
static void measure_all(milliseconds wait)
{
    std::vector<std::jthread> threads;

    for (int i = 0; i < (int)std::size(names); i++) {
        std::string name = names[i];
        threads.emplace_back([=] {
            measure(name + "(system_clock)",
                    [=] { return until<system_clock>(i, system_clock::now() + wait); });
        });
        threads.emplace_back([=] {
            measure(name + "(steady_clock)",
                    [=] { return until<steady_clock>(i, steady_clock::now() + wait); });
        });
    }
    for (int i = 0; i < (int)std::size(lasting_names); i++)
        threads.emplace_back([=] { measure(lasting_names[i], [=] { return lasting(i, wait); }); });
}

int main(int argc, char **argv)
{
    milliseconds wait(argc > 1 ? std::atol(argv[1]) : 100);
    std::scoped_lock all(held, held_recursive, held_shared);

    measure_all(wait);
    measure_all(wait);
}
