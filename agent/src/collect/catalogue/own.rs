//! Families of the agent itself.

use super::families;

families! {
    /// All families of the agent itself.
    ENTRIES:
    BUILD_INFO Gauge "guidon_build_info" ["version"] ""
        "The version that runs; always 1." <- "the build" / "";
    CPU_SECONDS Counter "process_cpu_seconds_total" [] "s"
        "CPU time of the agent, in seconds." <- "`/proc/self/stat`" / "";
    RESIDENT Gauge "process_resident_memory_bytes" [] "bytes"
        "Resident memory of the agent, mapped counter pages included." <- "`/proc/self/stat`" / "";
    VIRTUAL Gauge "process_virtual_memory_bytes" [] "bytes"
        "Address space of the agent." <- "`/proc/self/stat`" / "";
    THREADS Gauge "process_threads" [] ""
        "Threads of the agent." <- "`/proc/self/stat`" / "";
    OPEN_FILES Gauge "process_open_fds" [] ""
        "Open files of the agent." <- "`/proc/self/fd`" / "";
    MAX_FILES Gauge "process_max_fds" [] ""
        "Most files the agent may open." <- "`RLIMIT_NOFILE`" / "";
    START_TIME Gauge "process_start_time_seconds" [] "s"
        "Unix time of the agent's start." <- "the agent's clock" / "";
    ROUNDS Counter "guidon_collect_rounds_total" [] ""
        "Rounds of collection." <- "agent" / "";
    ROUNDS_SKIPPED Counter "guidon_collect_rounds_skipped_total" [] ""
        "Rounds that fell out because the one before took too long." <- "agent" / "";
    DURATION Gauge "guidon_collect_duration_seconds" ["part"] "s"
        "Time that a part of the latest round took." <- "agent" / "";
    SERIES Gauge "guidon_collect_series" ["table"] ""
        "Live series." <- "agent" / "";
    CONTAINERS Gauge "guidon_collect_containers" [] ""
        "Containers in the books." <- "agent" / "";
    SAMPLES_DROPPED Counter "guidon_collect_samples_dropped_total" [] ""
        "Collected samples given up because the way to the bus refused them for too long." <- "agent" / "";
    PROGRAM_RUNS Counter "guidon_bpf_program_run_count_total" ["program"] ""
        "Runs of a kernel program, while the kernel keeps statistics." <- "the kernel's program info" / "";
    PROGRAM_SECONDS Counter "guidon_bpf_program_run_seconds_total" ["program"] "s"
        "Time spent in a kernel program, while the kernel keeps statistics." <- "the kernel's program info" / "";
    PROGRAM_ATTACHED Gauge "guidon_bpf_program_attached" ["program"] ""
        "1 if the kernel program is attached." <- "agent" / "";
    KERNEL_LOADED Gauge "guidon_kernel_loaded" [] ""
        "1 if the kernel side is loaded." <- "agent" / "";
    SLOTS Gauge "guidon_kernel_slots" ["state"] ""
        "Counter slots for cgroups, free and used." <- "agent" / "";
    SLOT_MISSES Counter "guidon_kernel_slot_misses_total" [] ""
        "Cgroups that found no free slot and count to the host." <- "kernel program" / "";
    EVENTS_LOST Counter "guidon_kernel_events_lost_total" [] ""
        "Events that the ring buffer had no room for." <- "kernel program" / "";
    MEMORY_DROPPED Counter "guidon_kernel_memory_dropped_total" [] ""
        "Cgroups that the memory iterator had no room for." <- "kernel program" / "";
    RECORDS Counter "guidon_records_total" ["signal" "stage" "reason" "guid"] ""
        "Records by what became of them; received + collected = sent + spooled + in flight + dropped." <- "ledger" / "";
    SPOOL_RECORDS Gauge "guidon_spool_records" ["signal" "destination"] ""
        "Records on disk that are not delivered." <- "ledger" / "";
    SPOOL_BYTES Gauge "guidon_spool_bytes" ["signal" "destination"] "bytes"
        "Bytes on disk." <- "ledger" / "";
    IN_FLIGHT Gauge "guidon_in_flight_records" ["signal" "destination"] ""
        "Records on the line, or in memory where nothing is spooled." <- "ledger" / "";
    RESENT Counter "guidon_resent_records_total" ["signal" "destination"] ""
        "Records that were handed to the network more than once, as far as known." <- "ledger" / "";
    FORWARD_REQUESTS Counter "guidon_forward_requests_total" ["signal" "destination"] ""
        "Requests that a destination gave a verdict on." <- "senders" / "";
    FORWARD_RETRIES Counter "guidon_forward_retries_total" ["signal" "destination"] ""
        "Attempts at a destination that have to be repeated." <- "senders" / "";
    FORWARD_FAILING Gauge "guidon_forward_failing_seconds" ["signal" "destination"] "s"
        "How long a destination has not taken data; 0 while it does." <- "senders" / "";
    DOCKER_CONNECTED Gauge "guidon_docker_connected" [] ""
        "1 while Docker is reached and watched." <- "directory" / "";
    RECEIVE_REQUESTS Counter "guidon_receive_requests_total" ["listener" "code"] ""
        "Requests answered, by HTTP status or gRPC code." <- "listeners" / "";
    RECEIVE_REFUSED Counter "guidon_receive_refused_total" ["listener" "reason"] ""
        "Requests, connections and datagrams refused." <- "listeners" / "";
    RECEIVE_DATAGRAMS Counter "guidon_receive_datagrams_total" ["listener"] ""
        "Datagrams read, refused ones included." <- "listeners" / "";
    RECEIVE_FORGED Counter "guidon_receive_forged_total" ["signal"] ""
        "Guids claimed by senders that are somebody else's, and replaced." <- "listeners" / "";
    STACK_STATE Gauge "guidon_stack_state" ["component" "state"] ""
        "1 for the state that a managed component is in, 0 for the others; none for those that are off." <- "stack" / "";
    STACK_RESTARTS Counter "guidon_stack_restarts_total" ["component"] ""
        "Starts of a managed component after an end that nobody asked for." <- "stack" / "";
    STACK_RELOADS Counter "guidon_stack_reloads_total" ["component"] ""
        "Times that a managed component took changed files without a restart." <- "stack" / "";
    LOGS_FILES Gauge "guidon_logs_files" [] ""
        "Log files that are followed." <- "log tailer" / "";
    LOGS_STREAMS Gauge "guidon_logs_streams" [] ""
        "Containers whose output Docker streams: their log driver writes no json-file." <- "log tailer" / "";
    LOGS_UNREADABLE Gauge "guidon_logs_unreadable" [] ""
        "Containers whose output is not followed: their log driver gives nothing back." <- "log tailer" / "";
    LOGS_LINES Counter "guidon_logs_lines_total" [] ""
        "Log lines handed on." <- "log tailer" / "";
    LOGS_MALFORMED Counter "guidon_logs_malformed_total" [] ""
        "Lines of container logs that are not what Docker writes, passed over." <- "log tailer" / "";
    LOGS_LAG Gauge "guidon_logs_lag_bytes" [] "bytes"
        "Bytes of followed files that are not read yet." <- "log tailer" / "";
    LOGS_REFUSED Counter "guidon_logs_refused_total" [] ""
        "Batches of lines that were refused and are read again." <- "log tailer" / "";
    LOGS_ERRORS Counter "guidon_logs_errors_total" [] ""
        "Failures to open or read a log, or to keep positions." <- "log tailer" / "";
}
