//! The files of the machine as `/metrics/node` reads them.

#![no_main]

use flyball_collector::node_exporter::{cpu, disk, hardware, hwmon, kernel, memory, network, sockets, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = (cpu::cpu_ticks(bytes).count(), cpu::stat_number(bytes, b"ctxt"));
    let _ = (memory::meminfo(bytes).count(), disk::diskstats(bytes).count(), disk::udev_properties(bytes));
    let _ = (disk::ignored(bytes), network::net_dev(bytes).count(), kernel::loadavg(bytes));
    let _ =
        (sockets::netstat(bytes).count(), sockets::snmp6(bytes).count(), sockets::sockstat(bytes).count());
    let _ = (sockets::softnet(bytes), sockets::udp_queues(bytes), sockets::arp_entries(bytes));
    let _ = (sockets::conntrack_sum(bytes, b"drop"), kernel::file_nr(bytes));
    let _ = (kernel::pressure_total(bytes, b"some"), kernel::schedstat(bytes).count());
    let _ = (kernel::os_release(bytes), hardware::mdstat(bytes));
    let _ = (text::number(bytes), text::signed(bytes), text::hex(bytes), text::float(bytes));
    if let Some(cpus) = cpu::cpu_list(bytes) {
        assert!(cpus.len() <= 1 << 16, "a list of CPUs is not made longer than machines are");
    }
    let shown = text::shown(bytes);
    let _ = (hwmon::sensor_of_file(&shown), hwmon::clean(&shown), kernel::major_minor(&shown));
    let _ = memory::vmstat_wanted(&shown);
});
