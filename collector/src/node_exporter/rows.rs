//! The families of `/metrics/node`: names, help texts and types are node_exporter's.

use crate::table::{Metric, Source};
use flyball_model::exposition::MetricType;

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    from: &'static str,
    help: &'static str,
) -> Metric {
    Metric::new(name, MetricType::Gauge, labels, help, Source::both(from))
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    from: &'static str,
    help: &'static str,
) -> Metric {
    Metric::new(name, MetricType::Counter, labels, help, Source::both(from))
}

const fn untyped(name: &'static str, from: &'static str, help: &'static str) -> Metric {
    Metric::new(name, MetricType::Untyped, &[], help, Source::both(from))
}

const CPU: &[&str] = &["cpu"];
const CPU_MODE: &[&str] = &["cpu", "mode"];
const DEVICE: &[&str] = &["device"];
const FILESYSTEM: &[&str] = &["device", "device_error", "fstype", "mountpoint"];
const COLLECTOR: &[&str] = &["collector"];
const CHIP: &[&str] = &["chip", "sensor"];

/// Names the rows, and lists them.
macro_rules! rows {
    ($($id:ident = $row:expr;)*) => {
        $(pub const $id: Metric = $row;)*
        /// All of them, in the order of this file.
        pub const ROWS: &[Metric] = &[$($id),*];
    };
}

#[rustfmt::skip]
#[allow(missing_docs, reason = "each row documents itself")]
mod table {
    use super::*;

    rows! {
        ARP_ENTRIES = gauge("node_arp_entries", DEVICE, "/proc/net/arp", "ARP entries by device").dashboards();
        BOOT_TIME = gauge("node_boot_time_seconds", &[], "/proc/stat `btime`", "Node boot time, in unixtime.").dashboards();
        CONTEXT_SWITCHES = counter("node_context_switches_total", &[], "/proc/stat `ctxt`", "Total number of context switches.").dashboards();
        CPU_CORE_THROTTLES = counter("node_cpu_core_throttles_total", &["core", "package"], "/sys/devices/system/cpu/cpuN/thermal_throttle/core_throttle_count", "Number of times this CPU core has been throttled.").dashboards();
        CPU_FREQUENCY_AVG = gauge("node_cpu_frequency_avg_hertz", CPU, "cpufreq/cpuinfo_avg_freq x 1000", "Average CPU thread frequency in hertz.");
        CPU_FREQUENCY = gauge("node_cpu_frequency_hertz", CPU, "cpufreq/cpuinfo_cur_freq x 1000", "Current CPU thread frequency in hertz.");
        CPU_FREQUENCY_MAX = gauge("node_cpu_frequency_max_hertz", CPU, "cpufreq/cpuinfo_max_freq x 1000", "Maximum CPU thread frequency in hertz.");
        CPU_FREQUENCY_MIN = gauge("node_cpu_frequency_min_hertz", CPU, "cpufreq/cpuinfo_min_freq x 1000", "Minimum CPU thread frequency in hertz.");
        CPU_GUEST_SECONDS = counter("node_cpu_guest_seconds_total", CPU_MODE, "/proc/stat `cpuN`, fields 9 and 10, also within user and nice", "Seconds the CPUs spent in guests (VMs) for each mode.").dashboards();
        CPU_ISOLATED = gauge("node_cpu_isolated", CPU, "/sys/devices/system/cpu/isolated", "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.");
        CPU_ONLINE = gauge("node_cpu_online", CPU, "/sys/devices/system/cpu/cpuN/online", "CPUs that are online and being scheduled.");
        CPU_PACKAGE_THROTTLES = counter("node_cpu_package_throttles_total", &["package"], "/sys/devices/system/cpu/cpuN/thermal_throttle/package_throttle_count", "Number of times this CPU package has been throttled.");
        CPU_SCALING_FREQUENCY = gauge("node_cpu_scaling_frequency_hertz", CPU, "cpufreq/scaling_cur_freq x 1000", "Current scaled CPU thread frequency in hertz.").dashboards();
        CPU_SCALING_FREQUENCY_MAX = gauge("node_cpu_scaling_frequency_max_hertz", CPU, "cpufreq/scaling_max_freq x 1000", "Maximum scaled CPU thread frequency in hertz.").dashboards();
        CPU_SCALING_FREQUENCY_MIN = gauge("node_cpu_scaling_frequency_min_hertz", CPU, "cpufreq/scaling_min_freq x 1000", "Minimum scaled CPU thread frequency in hertz.").dashboards();
        CPU_SCALING_GOVERNOR = gauge("node_cpu_scaling_governor", &["cpu", "governor"], "cpufreq/scaling_governor, scaling_available_governors", "Current enabled CPU frequency governor.");
        CPU_SECONDS = counter("node_cpu_seconds_total", CPU_MODE, "/proc/stat `cpuN`, ticks / 100, never going back", "Seconds the CPUs spent in each mode.").dashboards();
        DISK_DEVICE_MAPPER_INFO = gauge("node_disk_device_mapper_info", &["device", "lv_layer", "lv_name", "name", "uuid", "vg_name"], "udev", "Info about disk device mapper.");
        DISK_DISCARD_TIME = counter("node_disk_discard_time_seconds_total", DEVICE, "/proc/diskstats 18 / 1000", "This is the total number of seconds spent by all discards.").dashboards();
        DISK_DISCARDED_SECTORS = counter("node_disk_discarded_sectors_total", DEVICE, "/proc/diskstats 17", "The total number of sectors discarded successfully.");
        DISK_DISCARDS_COMPLETED = counter("node_disk_discards_completed_total", DEVICE, "/proc/diskstats 15", "The total number of discards completed successfully.").dashboards();
        DISK_DISCARDS_MERGED = counter("node_disk_discards_merged_total", DEVICE, "/proc/diskstats 16", "The total number of discards merged.").dashboards();
        DISK_FILESYSTEM_INFO = gauge("node_disk_filesystem_info", &["device", "type", "usage", "uuid", "version"], "udev", "Info about disk filesystem.");
        DISK_FLUSH_TIME = counter("node_disk_flush_requests_time_seconds_total", DEVICE, "/proc/diskstats 20 / 1000", "This is the total number of seconds spent by all flush requests.");
        DISK_FLUSHES = counter("node_disk_flush_requests_total", DEVICE, "/proc/diskstats 19", "The total number of flush requests completed successfully");
        DISK_INFO = gauge("node_disk_info", &["device", "major", "minor", "model", "path", "revision", "rotational", "serial", "wwn"], "/proc/diskstats, /sys/block/DEVICE/queue/rotational, udev", "Info of /sys/block/<block_device>.");
        DISK_IO_NOW = gauge("node_disk_io_now", DEVICE, "/proc/diskstats 12", "The number of I/Os currently in progress.").dashboards();
        DISK_IO_TIME = counter("node_disk_io_time_seconds_total", DEVICE, "/proc/diskstats 13 / 1000", "Total seconds spent doing I/Os.").dashboards();
        DISK_IO_TIME_WEIGHTED = counter("node_disk_io_time_weighted_seconds_total", DEVICE, "/proc/diskstats 14 / 1000", "The weighted # of seconds spent doing I/Os.").dashboards();
        DISK_READ_BYTES = counter("node_disk_read_bytes_total", DEVICE, "/proc/diskstats 6 x 512", "The total number of bytes read successfully.").dashboards();
        DISK_READ_TIME = counter("node_disk_read_time_seconds_total", DEVICE, "/proc/diskstats 7 / 1000", "The total number of seconds spent by all reads.").dashboards();
        DISK_READS_COMPLETED = counter("node_disk_reads_completed_total", DEVICE, "/proc/diskstats 4", "The total number of reads completed successfully.").dashboards();
        DISK_READS_MERGED = counter("node_disk_reads_merged_total", DEVICE, "/proc/diskstats 5", "The total number of reads merged.").dashboards();
        DISK_WRITE_TIME = counter("node_disk_write_time_seconds_total", DEVICE, "/proc/diskstats 11 / 1000", "This is the total number of seconds spent by all writes.").dashboards();
        DISK_WRITES_COMPLETED = counter("node_disk_writes_completed_total", DEVICE, "/proc/diskstats 8", "The total number of writes completed successfully.").dashboards();
        DISK_WRITES_MERGED = counter("node_disk_writes_merged_total", DEVICE, "/proc/diskstats 9", "The number of writes merged.").dashboards();
        DISK_WRITTEN_BYTES = counter("node_disk_written_bytes_total", DEVICE, "/proc/diskstats 10 x 512", "The total number of bytes written successfully.").dashboards();
        ENTROPY_AVAILABLE = gauge("node_entropy_available_bits", &[], "/proc/sys/kernel/random/entropy_avail", "Bits of available entropy.").dashboards();
        ENTROPY_POOL_SIZE = gauge("node_entropy_pool_size_bits", &[], "/proc/sys/kernel/random/poolsize", "Bits of entropy pool.");
        BUILD_INFO = gauge("node_exporter_build_info", &["branch", "goarch", "goos", "goversion", "revision", "tags", "version"], "Flyball's version; `tags` and `revision` say flyball", "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build.").dashboards();
        FILEFD_ALLOCATED = gauge("node_filefd_allocated", &[], "/proc/sys/fs/file-nr 1", "File descriptor statistics: allocated.").dashboards();
        FILEFD_MAXIMUM = gauge("node_filefd_maximum", &[], "/proc/sys/fs/file-nr 3", "File descriptor statistics: maximum.").dashboards();
        FILESYSTEM_AVAIL = gauge("node_filesystem_avail_bytes", FILESYSTEM, "statfs(2): bavail x bsize", "Filesystem space available to non-root users in bytes.").dashboards();
        FILESYSTEM_DEVICE_ERROR = gauge("node_filesystem_device_error", FILESYSTEM, "statfs(2) failed, or gave no answer in 5 s", "Whether an error occurred while getting statistics for the given device.").dashboards();
        FILESYSTEM_FILES = gauge("node_filesystem_files", FILESYSTEM, "statfs(2): files", "Filesystem total file nodes.").dashboards();
        FILESYSTEM_FILES_FREE = gauge("node_filesystem_files_free", FILESYSTEM, "statfs(2): ffree", "Filesystem total free file nodes.").dashboards();
        FILESYSTEM_FREE = gauge("node_filesystem_free_bytes", FILESYSTEM, "statfs(2): bfree x bsize", "Filesystem free space in bytes.").dashboards();
        FILESYSTEM_MOUNT_INFO = gauge("node_filesystem_mount_info", &["device", "major", "minor", "mountpoint"], "/proc/1/mountinfo", "Filesystem mount information.");
        FILESYSTEM_READONLY = gauge("node_filesystem_readonly", FILESYSTEM, "/proc/1/mountinfo: `ro` or `emergency_ro`", "Filesystem read-only status.").dashboards();
        FILESYSTEM_SIZE = gauge("node_filesystem_size_bytes", FILESYSTEM, "statfs(2): blocks x bsize", "Filesystem size in bytes.").dashboards();
        FORKS = counter("node_forks_total", &[], "/proc/stat `processes`", "Total number of forks.").dashboards();
        HWMON_CHIP_NAMES = gauge("node_hwmon_chip_names", &["chip", "chip_name"], "/sys/class/hwmon/hwmonN/name", "Annotation metric for human-readable chip names").dashboards();
        HWMON_SENSOR_LABEL = gauge("node_hwmon_sensor_label", &["chip", "label", "sensor"], "/sys/class/hwmon/hwmonN/SENSOR_label", "Label for given chip and sensor");
        HWMON = gauge("node_hwmon_<sensor>", CHIP, "/sys/class/hwmon/hwmonN, in base units; `node_hwmon_temp_celsius` and such", "Hardware monitor <sensor> element <element>").dashboards();
        INTR = counter("node_intr_total", &[], "/proc/stat `intr`, first number", "Total number of interrupts serviced.").dashboards();
        KERNEL_HUNG_TASKS = counter("node_kernel_hung_tasks_total", &[], "/proc/sys/kernel/hung_task_detect_count", "Total number of tasks that have been detected as hung since the system booted.");
        LOAD1 = gauge("node_load1", &[], "/proc/loadavg 1", "1m load average.").dashboards();
        LOAD15 = gauge("node_load15", &[], "/proc/loadavg 3", "15m load average.").dashboards();
        LOAD5 = gauge("node_load5", &[], "/proc/loadavg 2", "5m load average.").dashboards();
        MD_BLOCKS = gauge("node_md_blocks", DEVICE, "/proc/mdstat", "Total number of blocks on device.");
        MD_BLOCKS_SYNCED = gauge("node_md_blocks_synced", DEVICE, "/proc/mdstat", "Number of blocks synced on device.");
        MD_DISKS = gauge("node_md_disks", &["device", "state"], "/proc/mdstat", "Number of active/failed/spare disks of device.").dashboards();
        MD_DISKS_REQUIRED = gauge("node_md_disks_required", DEVICE, "/proc/mdstat", "Total number of disks of device.").dashboards();
        MD_STATE = gauge("node_md_state", &["device", "state"], "/proc/mdstat", "Indicates the state of md-device.");
        MEMORY_BYTES = gauge("node_memory_<field>_bytes", &[], "/proc/meminfo, kB x 1024; parentheses become underscores", "Memory information field <field>_bytes.").dashboards();
        MEMORY_HUGE_PAGES = gauge("node_memory_HugePages_<field>", &[], "/proc/meminfo", "Memory information field HugePages_<field>.").dashboards();
        NETSTAT = untyped("node_netstat_<protocol>_<field>", "/proc/net/netstat, /proc/net/snmp, /proc/net/snmp6, the fields node_exporter shows by default", "Statistic <protocol><field>.").dashboards();
        NET_ADDRESS_ASSIGN_TYPE = gauge("node_network_address_assign_type", DEVICE, "/sys/class/net/DEVICE/addr_assign_type", "Network device property: address_assign_type");
        NET_CARRIER = gauge("node_network_carrier", DEVICE, "IFLA_CARRIER or sysfs; absent while the device is down", "Network device property: carrier").dashboards();
        NET_CARRIER_CHANGES = counter("node_network_carrier_changes_total", DEVICE, "IFLA_CARRIER_CHANGES or sysfs", "Network device property: carrier_changes_total");
        NET_CARRIER_DOWN_CHANGES = counter("node_network_carrier_down_changes_total", DEVICE, "IFLA_CARRIER_DOWN_COUNT or sysfs", "Network device property: carrier_down_changes_total");
        NET_CARRIER_UP_CHANGES = counter("node_network_carrier_up_changes_total", DEVICE, "IFLA_CARRIER_UP_COUNT or sysfs", "Network device property: carrier_up_changes_total");
        NET_DEVICE_ID = gauge("node_network_device_id", DEVICE, "/sys/class/net/DEVICE/dev_id", "Network device property: device_id");
        NET_DORMANT = gauge("node_network_dormant", DEVICE, "IFF_DORMANT or sysfs; absent while the device is down", "Network device property: dormant");
        NET_FLAGS = gauge("node_network_flags", DEVICE, "ifi_flags or sysfs", "Network device property: flags");
        NET_IFACE_ID = gauge("node_network_iface_id", DEVICE, "ifi_index or sysfs", "Network device property: iface_id");
        NET_IFACE_LINK = gauge("node_network_iface_link", DEVICE, "IFLA_LINK or sysfs", "Network device property: iface_link");
        NET_IFACE_LINK_MODE = gauge("node_network_iface_link_mode", DEVICE, "IFLA_LINKMODE or sysfs", "Network device property: iface_link_mode");
        NET_INFO = gauge("node_network_info", &["address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"], "netlink or sysfs; duplex always from sysfs", "Non-numeric data from /sys/class/net/<iface>, value is always 1.").dashboards();
        NET_MTU = gauge("node_network_mtu_bytes", DEVICE, "IFLA_MTU or sysfs", "Network device property: mtu_bytes").dashboards();
        NET_NAME_ASSIGN_TYPE = gauge("node_network_name_assign_type", DEVICE, "/sys/class/net/DEVICE/name_assign_type", "Network device property: name_assign_type");
        NET_GROUP = gauge("node_network_net_dev_group", DEVICE, "IFLA_GROUP or sysfs", "Network device property: net_dev_group");
        NET_PROTOCOL_TYPE = gauge("node_network_protocol_type", DEVICE, "ifi_type or sysfs", "Network device property: protocol_type");
        NET_SPEED = gauge("node_network_speed_bytes", DEVICE, "/sys/class/net/DEVICE/speed, Mbit/s x 125000; at most a minute old", "Network device property: speed_bytes").dashboards();
        NET_TRANSMIT_QUEUE_LENGTH = gauge("node_network_transmit_queue_length", DEVICE, "IFLA_TXQLEN or sysfs", "Network device property: transmit_queue_length");
        NET_UP = gauge("node_network_up", DEVICE, "IFLA_OPERSTATE or sysfs", "Value is 1 if operstate is 'up', 0 otherwise.").dashboards();
        NET_RECEIVE_BYTES = counter("node_network_receive_bytes_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic receive_bytes.").dashboards();
        NET_RECEIVE_COMPRESSED = counter("node_network_receive_compressed_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic receive_compressed.").dashboards();
        NET_RECEIVE_DROP = counter("node_network_receive_drop_total", DEVICE, "dropped + missed", "Network device statistic receive_drop.").dashboards();
        NET_RECEIVE_ERRS = counter("node_network_receive_errs_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic receive_errs.").dashboards();
        NET_RECEIVE_FIFO = counter("node_network_receive_fifo_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic receive_fifo.").dashboards();
        NET_RECEIVE_FRAME = counter("node_network_receive_frame_total", DEVICE, "frame + length + over + crc errors", "Network device statistic receive_frame.").dashboards();
        NET_RECEIVE_MULTICAST = counter("node_network_receive_multicast_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic receive_multicast.").dashboards();
        NET_RECEIVE_NOHANDLER = counter("node_network_receive_nohandler_total", DEVICE, "IFLA_STATS64; absent in another network namespace", "Network device statistic receive_nohandler.");
        NET_RECEIVE_PACKETS = counter("node_network_receive_packets_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic receive_packets.").dashboards();
        NET_TRANSMIT_BYTES = counter("node_network_transmit_bytes_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_bytes.").dashboards();
        NET_TRANSMIT_CARRIER = counter("node_network_transmit_carrier_total", DEVICE, "carrier + aborted + heartbeat + window errors", "Network device statistic transmit_carrier.").dashboards();
        NET_TRANSMIT_COLLS = counter("node_network_transmit_colls_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_colls.").dashboards();
        NET_TRANSMIT_COMPRESSED = counter("node_network_transmit_compressed_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_compressed.").dashboards();
        NET_TRANSMIT_DROP = counter("node_network_transmit_drop_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_drop.").dashboards();
        NET_TRANSMIT_ERRS = counter("node_network_transmit_errs_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_errs.").dashboards();
        NET_TRANSMIT_FIFO = counter("node_network_transmit_fifo_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_fifo.").dashboards();
        NET_TRANSMIT_PACKETS = counter("node_network_transmit_packets_total", DEVICE, "IFLA_STATS64 or /proc/1/net/dev", "Network device statistic transmit_packets.").dashboards();
        CONNTRACK_ENTRIES = gauge("node_nf_conntrack_entries", &[], "/proc/sys/net/netfilter/nf_conntrack_count", "Number of currently allocated flow entries for connection tracking.").dashboards();
        CONNTRACK_LIMIT = gauge("node_nf_conntrack_entries_limit", &[], "/proc/sys/net/netfilter/nf_conntrack_max", "Maximum size of connection tracking table.").dashboards();
        CONNTRACK_DROP = gauge("node_nf_conntrack_stat_drop", &[], "/proc/net/stat/nf_conntrack", "Number of packets dropped due to conntrack failure.");
        CONNTRACK_EARLY_DROP = gauge("node_nf_conntrack_stat_early_drop", &[], "/proc/net/stat/nf_conntrack", "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.");
        CONNTRACK_FOUND = gauge("node_nf_conntrack_stat_found", &[], "/proc/net/stat/nf_conntrack", "Number of searched entries which were successful.");
        CONNTRACK_IGNORE = gauge("node_nf_conntrack_stat_ignore", &[], "/proc/net/stat/nf_conntrack", "Number of packets seen which are already connected to a conntrack entry.");
        CONNTRACK_INSERT = gauge("node_nf_conntrack_stat_insert", &[], "/proc/net/stat/nf_conntrack", "Number of entries inserted into the list.");
        CONNTRACK_INSERT_FAILED = gauge("node_nf_conntrack_stat_insert_failed", &[], "/proc/net/stat/nf_conntrack", "Number of entries for which list insertion was attempted but failed.");
        CONNTRACK_INVALID = gauge("node_nf_conntrack_stat_invalid", &[], "/proc/net/stat/nf_conntrack", "Number of packets seen which can not be tracked.");
        CONNTRACK_SEARCH_RESTART = gauge("node_nf_conntrack_stat_search_restart", &[], "/proc/net/stat/nf_conntrack", "Number of conntrack table lookups which had to be restarted due to hashtable resizes.");
        OS_INFO = gauge("node_os_info", &["build_id", "id", "id_like", "image_id", "image_version", "name", "pretty_name", "variant", "variant_id", "version", "version_codename", "version_id"], "/etc/os-release, else /usr/lib/os-release", "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.").dashboards();
        OS_VERSION = gauge("node_os_version", &["id", "id_like", "name"], "os-release: major.minor of VERSION_ID", "Metric containing the major.minor part of the OS version.");
        PRESSURE_CPU_WAITING = counter("node_pressure_cpu_waiting_seconds_total", &[], "/proc/pressure/cpu `some total` / 1e6", "Total time in seconds that processes have waited for CPU time").dashboards();
        PRESSURE_IO_STALLED = counter("node_pressure_io_stalled_seconds_total", &[], "/proc/pressure/io `full total` / 1e6", "Total time in seconds no process could make progress due to IO congestion").dashboards();
        PRESSURE_IO_WAITING = counter("node_pressure_io_waiting_seconds_total", &[], "/proc/pressure/io `some total` / 1e6", "Total time in seconds that processes have waited due to IO congestion").dashboards();
        PRESSURE_IRQ_STALLED = counter("node_pressure_irq_stalled_seconds_total", &[], "/proc/pressure/irq `full total` / 1e6", "Total time in seconds no process could make progress due to IRQ congestion").dashboards();
        PRESSURE_MEMORY_STALLED = counter("node_pressure_memory_stalled_seconds_total", &[], "/proc/pressure/memory `full total` / 1e6", "Total time in seconds no process could make progress due to memory congestion").dashboards();
        PRESSURE_MEMORY_WAITING = counter("node_pressure_memory_waiting_seconds_total", &[], "/proc/pressure/memory `some total` / 1e6", "Total time in seconds that processes have waited for memory").dashboards();
        PROCS_BLOCKED = gauge("node_procs_blocked", &[], "/proc/stat `procs_blocked`", "Number of processes blocked waiting for I/O to complete.").dashboards();
        PROCS_RUNNING = gauge("node_procs_running", &[], "/proc/stat `procs_running`", "Number of processes in runnable state.").dashboards();
        SCHEDSTAT_RUNNING = counter("node_schedstat_running_seconds_total", CPU, "/proc/schedstat `cpuN` 7 / 1e9", "Number of seconds CPU spent running a process.").dashboards();
        SCHEDSTAT_TIMESLICES = counter("node_schedstat_timeslices_total", CPU, "/proc/schedstat `cpuN` 9", "Number of timeslices executed by CPU.").dashboards();
        SCHEDSTAT_WAITING = counter("node_schedstat_waiting_seconds_total", CPU, "/proc/schedstat `cpuN` 8 / 1e9", "Number of seconds spent by processing waiting for this CPU.").dashboards();
        SCRAPE_DURATION = gauge("node_scrape_collector_duration_seconds", COLLECTOR, "own clock", "node_exporter: Duration of a collector scrape.").dashboards();
        SCRAPE_SUCCESS = gauge("node_scrape_collector_success", COLLECTOR, "0 where the kernel gave nothing", "node_exporter: Whether a collector succeeded.").dashboards();
        SOCKSTAT = gauge("node_sockstat_<protocol>_<field>", &[], "/proc/net/sockstat, /proc/net/sockstat6; `mem_bytes` is `mem` in pages x page size", "Number of <protocol> sockets in state <field>.").dashboards();
        SOCKSTAT_USED = gauge("node_sockstat_sockets_used", &[], "/proc/net/sockstat", "Number of IPv4 sockets in use.").dashboards();
        SOFTNET_BACKLOG = gauge("node_softnet_backlog_len", CPU, "/proc/net/softnet_stat 12", "Softnet backlog status");
        SOFTNET_COLLISION = counter("node_softnet_cpu_collision_total", CPU, "/proc/net/softnet_stat 9", "Number of collision occur while obtaining device lock while transmitting");
        SOFTNET_DROPPED = counter("node_softnet_dropped_total", CPU, "/proc/net/softnet_stat 2", "Number of dropped packets").dashboards();
        SOFTNET_FLOW_LIMIT = counter("node_softnet_flow_limit_count_total", CPU, "/proc/net/softnet_stat 11", "Number of times flow limit has been reached");
        SOFTNET_PROCESSED = counter("node_softnet_processed_total", CPU, "/proc/net/softnet_stat 1", "Number of processed packets").dashboards();
        SOFTNET_RPS = counter("node_softnet_received_rps_total", CPU, "/proc/net/softnet_stat 10", "Number of times cpu woken up received_rps");
        SOFTNET_SQUEEZED = counter("node_softnet_times_squeezed_total", CPU, "/proc/net/softnet_stat 3", "Number of times processing packets ran out of quota").dashboards();
        CLOCKSOURCE_AVAILABLE = gauge("node_time_clocksource_available_info", &["clocksource", "device"], "/sys/devices/system/clocksource/clocksourceN/available_clocksource", "Available clocksources read from '/sys/devices/system/clocksource'.");
        CLOCKSOURCE_CURRENT = gauge("node_time_clocksource_current_info", &["clocksource", "device"], "/sys/devices/system/clocksource/clocksourceN/current_clocksource", "Current clocksource read from '/sys/devices/system/clocksource'.");
        TIME = gauge("node_time_seconds", &[], "clock", "System time in seconds since epoch (1970).").dashboards();
        TIME_ZONE_OFFSET = gauge("node_time_zone_offset_seconds", &["time_zone"], "TZ, /etc/localtime", "System time zone offset in seconds.");
        TIMEX_ESTIMATED_ERROR = gauge("node_timex_estimated_error_seconds", &[], "adjtimex(2) `esterror`", "Estimated error in seconds.").dashboards();
        TIMEX_FREQUENCY_ADJUSTMENT = gauge("node_timex_frequency_adjustment_ratio", &[], "adjtimex(2) `freq`", "Local clock frequency adjustment.").dashboards();
        TIMEX_LOOP_TIME_CONSTANT = gauge("node_timex_loop_time_constant", &[], "adjtimex(2) `constant`", "Phase-locked loop time constant.").dashboards();
        TIMEX_MAXERROR = gauge("node_timex_maxerror_seconds", &[], "adjtimex(2) `maxerror`", "Maximum error in seconds.").dashboards();
        TIMEX_OFFSET = gauge("node_timex_offset_seconds", &[], "adjtimex(2) `offset`", "Time offset in between local system and reference clock.").dashboards();
        TIMEX_PPS_CALIBRATION = counter("node_timex_pps_calibration_total", &[], "adjtimex(2) `calcnt`", "Pulse per second count of calibration intervals.");
        TIMEX_PPS_ERROR = counter("node_timex_pps_error_total", &[], "adjtimex(2) `errcnt`", "Pulse per second count of calibration errors.");
        TIMEX_PPS_FREQUENCY = gauge("node_timex_pps_frequency_hertz", &[], "adjtimex(2) `ppsfreq`", "Pulse per second frequency.");
        TIMEX_PPS_JITTER = gauge("node_timex_pps_jitter_seconds", &[], "adjtimex(2) `jitter`", "Pulse per second jitter.");
        TIMEX_PPS_JITTER_TOTAL = counter("node_timex_pps_jitter_total", &[], "adjtimex(2) `jitcnt`", "Pulse per second count of jitter limit exceeded events.");
        TIMEX_PPS_SHIFT = gauge("node_timex_pps_shift_seconds", &[], "adjtimex(2) `shift`", "Pulse per second interval duration.");
        TIMEX_PPS_STABILITY_EXCEEDED = counter("node_timex_pps_stability_exceeded_total", &[], "adjtimex(2) `stbcnt`", "Pulse per second count of stability limit exceeded events.");
        TIMEX_PPS_STABILITY = gauge("node_timex_pps_stability_hertz", &[], "adjtimex(2) `stabil`", "Pulse per second stability, average of recent frequency changes.");
        TIMEX_STATUS = gauge("node_timex_status", &[], "adjtimex(2) `status`", "Value of the status array bits.");
        TIMEX_SYNC_STATUS = gauge("node_timex_sync_status", &[], "adjtimex(2) `state`", "Is clock synchronized to a reliable server (1 = yes, 0 = no).").dashboards();
        TIMEX_TAI_OFFSET = gauge("node_timex_tai_offset_seconds", &[], "adjtimex(2) `tai`", "International Atomic Time (TAI) offset.").dashboards();
        TIMEX_TICK = gauge("node_timex_tick_seconds", &[], "adjtimex(2) `tick`", "Seconds between clock ticks.").dashboards();
        UDP_QUEUES = gauge("node_udp_queues", &["ip", "queue"], "/proc/net/udp, /proc/net/udp6", "Number of allocated memory in the kernel for UDP datagrams in bytes.").dashboards();
        UNAME_INFO = gauge("node_uname_info", &["domainname", "machine", "nodename", "release", "sysname", "version"], "uname(2); in a pod, nodename is the name of the Node", "Labeled system information as provided by the uname system call.").dashboards();
        VMSTAT = untyped("node_vmstat_<field>", "/proc/vmstat, the fields oom_kill, pgpg*, pswp*, pg*fault*", "/proc/vmstat information field <field>.").dashboards();
    }
}

pub use table::*;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::faults;

    #[test]
    fn the_table_is_consistent() {
        assert_eq!(faults(ROWS, &[]), [""; 0]);
    }
}
