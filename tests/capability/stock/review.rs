//! What was reviewed, by name: whoever adds a name here has read what it does.
//!
//! An immutable function of the server in C is harmless unless [`BARRED`] names it: it may read
//! nothing but its arguments. Every other one is in exactly one of the lists, for all its overloads,
//! and a test fails over a new version's functions that are in none. Each list is sorted.

/// Nothing of a call can be seen by others or later. Functions that show definitions, sizes,
/// privileges, settings and the state of the server are here; none shows rows or texts of others.
/// Some read fixed files of the installation, whose content is not the database's: the names of time
/// zones, the control files of extensions, `pg_control`.
pub const PURE: &str = "
    _pg_char_max_length _pg_char_octet_length _pg_datetime_precision _pg_expandarray _pg_index_position
    _pg_interval_type _pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_truetypid
    _pg_truetypmod aclexplode age anytextcat array_sample array_shuffle array_to_json array_to_string
    bit_length clock_timestamp col_description concat concat_ws convert convert_from convert_to
    current_database current_query current_schema current_schemas current_setting current_user currtid2
    currval date date_add date_cmp_timestamptz date_eq_timestamptz date_ge_timestamptz
    date_gt_timestamptz date_le_timestamptz date_lt_timestamptz date_ne_timestamptz date_part
    date_subtract date_trunc enum_first enum_last enum_range extract format format_type gen_random_uuid
    generate_series get_current_ts_config getdatabaseencoding getpgusername has_any_column_privilege
    has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege
    has_function_privilege has_language_privilege has_largeobject_privilege has_parameter_privilege
    has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege
    has_tablespace_privilege has_type_privilege in_range inet_client_addr inet_client_port
    inet_server_addr inet_server_port int8pl_inet integer_pl_date interval_pl_date interval_pl_time
    interval_pl_timestamp interval_pl_timestamptz interval_pl_timetz json_build_array json_build_object
    json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset
    json_to_tsvector jsonb_build_array jsonb_build_object jsonb_path_exists_tz jsonb_path_match_tz
    jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
    jsonb_populate_record_valid jsonb_populate_recordset jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_to_tsvector lastval length log log10 lpad make_timestamptz money mxid_age
    now numeric numeric_pl_pg_lsn obj_description oidvectortypes overlaps path_contain_pt
    pg_available_extension_versions pg_available_extensions pg_available_wal_summaries pg_backend_pid
    pg_basetype pg_blocking_pids pg_char_to_encoding pg_client_encoding pg_collation_actual_version
    pg_collation_for pg_collation_is_visible pg_column_compression pg_column_is_updatable pg_column_size
    pg_column_toast_chunk_id pg_conf_load_time pg_config pg_control_checkpoint pg_control_init
    pg_control_recovery pg_control_system pg_conversion_is_visible pg_current_snapshot
    pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id
    pg_current_xact_id_if_assigned pg_database_collation_actual_version pg_database_size
    pg_describe_object pg_encoding_to_char pg_extension_update_paths pg_filenode_relation
    pg_function_is_visible pg_get_acl pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr
    pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
    pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords
    pg_get_loaded_modules pg_get_multixact_members pg_get_object_address pg_get_partition_constraintdef
    pg_get_partkeydef pg_get_publication_tables pg_get_replica_identity_index pg_get_replication_slots
    pg_get_ruledef pg_get_sequence_data pg_get_serial_sequence pg_get_shmem_allocations
    pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions
    pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_get_wait_events pg_get_wal_replay_pause_state
    pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_has_role pg_identify_object
    pg_identify_object_as_address pg_index_column_has_property pg_index_has_property
    pg_indexam_has_property pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema
    pg_is_wal_replay_paused pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn
    pg_last_xact_replay_timestamp pg_listening_channels pg_lock_status pg_my_temp_schema
    pg_notification_queue_usage pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
    pg_options_to_table pg_partition_ancestors pg_partition_tree pg_postmaster_start_time
    pg_prepared_xact pg_relation_filenode pg_relation_filepath pg_relation_is_publishable
    pg_relation_is_updatable pg_relation_size pg_replication_origin_oid pg_replication_origin_progress
    pg_replication_origin_session_is_setup pg_replication_origin_session_progress
    pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sequence_parameters pg_settings_get_flags
    pg_show_all_settings pg_show_replication_origin_status pg_split_walfile_name pg_stat_clear_snapshot
    pg_stat_have_stats pg_statistics_obj_is_visible pg_table_is_visible pg_table_size
    pg_tablespace_databases pg_tablespace_location pg_tablespace_size pg_timezone_abbrevs
    pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone pg_timezone_names pg_total_relation_size
    pg_trigger_depth pg_ts_config_is_visible pg_ts_dict_is_visible pg_ts_parser_is_visible
    pg_ts_template_is_visible pg_type_is_visible pg_typeof pg_xact_commit_timestamp
    pg_xact_commit_timestamp_origin pg_xact_status phraseto_tsquery plainto_tsquery polygon
    quote_literal quote_nullable random random_normal regclass round row_security_active row_to_json
    rpad session_user shobj_description statement_timestamp substring suppress_redundant_updates_trigger
    system_user textanycat time timedate_pl timeofday timestamp timestamp_cmp_timestamptz
    timestamp_eq_timestamptz timestamp_ge_timestamptz timestamp_gt_timestamptz timestamp_le_timestamptz
    timestamp_lt_timestamptz timestamp_ne_timestamptz timestamptz timestamptz_cmp_date
    timestamptz_cmp_timestamp timestamptz_eq_date timestamptz_eq_timestamp timestamptz_ge_date
    timestamptz_ge_timestamp timestamptz_gt_date timestamptz_gt_timestamp timestamptz_le_date
    timestamptz_le_timestamp timestamptz_lt_date timestamptz_lt_timestamp timestamptz_mi_interval
    timestamptz_ne_date timestamptz_ne_timestamp timestamptz_pl_interval timetz timetzdate_pl timezone
    to_char to_date to_json to_jsonb to_number to_regclass to_regcollation to_regnamespace to_regoper
    to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_regtypemod to_timestamp
    to_tsquery to_tsvector transaction_timestamp trunc ts_debug ts_headline ts_match_tq ts_match_tt
    ts_parse ts_token_type txid_current txid_current_if_assigned txid_current_snapshot txid_status
    unique_key_recheck uuidv4 uuidv7 version websearch_to_tsquery xml xml_is_well_formed xpath
    xpath_exists
";

/// Reads and writes the text and binary forms of types. Those of arrays, rows, ranges and regtype
/// call functions of the types that they meet: output functions and type modifiers, which are in C.
pub const INPUT_AND_OUTPUT: &str = "
    aclitemin aclitemout anyarray_out anyarray_send anycompatiblearray_out anycompatiblearray_send
    anycompatiblemultirange_in anycompatiblemultirange_out anycompatiblerange_in anycompatiblerange_out
    anyenum_out anymultirange_in anymultirange_out anyrange_in anyrange_out array_out array_send
    bpcharsend brin_bloom_summary_send brin_minmax_multi_summary_send cash_in cash_out cstring_send
    date_in date_out enum_in enum_out enum_send interval_in interval_out multirange_out multirange_send
    namesend pg_dependencies_send pg_mcv_list_send pg_ndistinct_send pg_node_tree_send range_out
    range_send record_out record_send regclassin regclassout regcollationin regcollationout regconfigin
    regconfigout regdictionaryin regdictionaryout regnamespacein regnamespaceout regoperatorin
    regoperatorout regoperin regoperout regprocedurein regprocedureout regprocin regprocout regrolein
    regroleout regtypein regtypeout textsend time_in timestamp_in timestamp_out timestamptz_in
    timestamptz_out timetz_in varcharsend xml_in xml_send
";

/// Numbers that the server counts.
pub const COUNTERS: &str = "
    pg_stat_get_analyze_count pg_stat_get_archiver pg_stat_get_autoanalyze_count
    pg_stat_get_autovacuum_count pg_stat_get_backend_activity_start pg_stat_get_backend_client_addr
    pg_stat_get_backend_client_port pg_stat_get_backend_dbid pg_stat_get_backend_idset
    pg_stat_get_backend_io pg_stat_get_backend_pid pg_stat_get_backend_start pg_stat_get_backend_subxact
    pg_stat_get_backend_userid pg_stat_get_backend_wait_event pg_stat_get_backend_wait_event_type
    pg_stat_get_backend_wal pg_stat_get_backend_xact_start pg_stat_get_bgwriter_buf_written_checkpoints
    pg_stat_get_bgwriter_buf_written_clean pg_stat_get_bgwriter_maxwritten_clean
    pg_stat_get_bgwriter_requested_checkpoints pg_stat_get_bgwriter_stat_reset_time
    pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_blocks_fetched pg_stat_get_blocks_hit
    pg_stat_get_buf_alloc pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend
    pg_stat_get_checkpoint_sync_time pg_stat_get_checkpoint_write_time
    pg_stat_get_checkpointer_buffers_written pg_stat_get_checkpointer_num_performed
    pg_stat_get_checkpointer_num_requested pg_stat_get_checkpointer_num_timed
    pg_stat_get_checkpointer_restartpoints_performed pg_stat_get_checkpointer_restartpoints_requested
    pg_stat_get_checkpointer_restartpoints_timed pg_stat_get_checkpointer_slru_written
    pg_stat_get_checkpointer_stat_reset_time pg_stat_get_checkpointer_sync_time
    pg_stat_get_checkpointer_write_time pg_stat_get_db_active_time pg_stat_get_db_blk_read_time
    pg_stat_get_db_blk_write_time pg_stat_get_db_blocks_fetched pg_stat_get_db_blocks_hit
    pg_stat_get_db_checksum_failures pg_stat_get_db_checksum_last_failure pg_stat_get_db_conflict_all
    pg_stat_get_db_conflict_bufferpin pg_stat_get_db_conflict_lock pg_stat_get_db_conflict_logicalslot
    pg_stat_get_db_conflict_snapshot pg_stat_get_db_conflict_startup_deadlock
    pg_stat_get_db_conflict_tablespace pg_stat_get_db_deadlocks pg_stat_get_db_idle_in_transaction_time
    pg_stat_get_db_numbackends pg_stat_get_db_parallel_workers_launched
    pg_stat_get_db_parallel_workers_to_launch pg_stat_get_db_session_time pg_stat_get_db_sessions
    pg_stat_get_db_sessions_abandoned pg_stat_get_db_sessions_fatal pg_stat_get_db_sessions_killed
    pg_stat_get_db_stat_reset_time pg_stat_get_db_temp_bytes pg_stat_get_db_temp_files
    pg_stat_get_db_tuples_deleted pg_stat_get_db_tuples_fetched pg_stat_get_db_tuples_inserted
    pg_stat_get_db_tuples_returned pg_stat_get_db_tuples_updated pg_stat_get_db_xact_commit
    pg_stat_get_db_xact_rollback pg_stat_get_dead_tuples pg_stat_get_function_calls
    pg_stat_get_function_self_time pg_stat_get_function_total_time pg_stat_get_ins_since_vacuum
    pg_stat_get_io pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time
    pg_stat_get_last_autovacuum_time pg_stat_get_last_vacuum_time pg_stat_get_lastscan
    pg_stat_get_live_tuples pg_stat_get_mod_since_analyze pg_stat_get_numscans pg_stat_get_progress_info
    pg_stat_get_recovery_prefetch pg_stat_get_replication_slot pg_stat_get_slru
    pg_stat_get_snapshot_timestamp pg_stat_get_subscription pg_stat_get_subscription_stats
    pg_stat_get_total_analyze_time pg_stat_get_total_autoanalyze_time pg_stat_get_total_autovacuum_time
    pg_stat_get_total_vacuum_time pg_stat_get_tuples_deleted pg_stat_get_tuples_fetched
    pg_stat_get_tuples_hot_updated pg_stat_get_tuples_inserted pg_stat_get_tuples_newpage_updated
    pg_stat_get_tuples_returned pg_stat_get_tuples_updated pg_stat_get_vacuum_count pg_stat_get_wal
    pg_stat_get_wal_senders pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
    pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
    pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
    pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
    pg_stat_get_xact_tuples_updated
";

/// Take or return `internal`: steps of aggregates, and receive functions. No text can call them.
pub const CALLED_BY_THE_SERVER: &str = "
    anyarray_recv anycompatiblearray_recv bpcharrecv brin_bloom_summary_recv
    brin_minmax_multi_summary_recv cstring_recv json_agg_strict_transfn json_agg_transfn
    json_object_agg_strict_transfn json_object_agg_transfn json_object_agg_unique_strict_transfn
    json_object_agg_unique_transfn jsonb_agg_finalfn jsonb_agg_strict_transfn jsonb_agg_transfn
    jsonb_object_agg_finalfn jsonb_object_agg_strict_transfn jsonb_object_agg_transfn
    jsonb_object_agg_unique_strict_transfn jsonb_object_agg_unique_transfn namerecv pg_dependencies_recv
    pg_mcv_list_recv pg_ndistinct_recv pg_node_tree_recv textrecv varcharrecv xml_recv
";

/// Are given the OID of a type and run its input function: harmless for the stock type that they
/// belong to, and not when a text calls them.
pub const BOUND_TO_THEIR_TYPE: &str = "
    array_in array_recv domain_in domain_recv multirange_in multirange_recv range_in range_recv
    record_in record_recv
";

/// Harmless, but what they are given, or that they were called, can be seen by others or later.
pub const EFFECT: &str = "
    lo_close lo_creat lo_create lo_from_bytea lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64
    lo_truncate lo_truncate64 lo_unlink lowrite nextval pg_advisory_lock pg_advisory_lock_shared
    pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared pg_advisory_xact_lock
    pg_advisory_xact_lock_shared pg_cancel_backend pg_export_snapshot pg_logical_emit_message pg_notify
    pg_sleep pg_sleep_for pg_sleep_until pg_stat_force_next_flush pg_stat_reset
    pg_stat_reset_backend_stats pg_stat_reset_replication_slot pg_stat_reset_shared
    pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
    pg_stat_reset_subscription_stats pg_terminate_backend pg_try_advisory_lock
    pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared set_config
    setseed setval
";

/// Not harmless, and why.
pub const BARRED: &[(&str, &str)] = &[
    (
        "calls the hash functions of a table's own partitioning, by its OID",
        "
        satisfies_hash_partition
        ",
    ),
    (
        "runs a query, a cursor or an expression that it is given, or one that a definition holds",
        "
        RI_FKey_cascade_del RI_FKey_cascade_upd RI_FKey_check_ins RI_FKey_check_upd RI_FKey_noaction_del
        RI_FKey_noaction_upd RI_FKey_restrict_del RI_FKey_restrict_upd RI_FKey_setdefault_del
        RI_FKey_setdefault_upd RI_FKey_setnull_del RI_FKey_setnull_upd amvalidate brin_desummarize_range
        brin_summarize_new_values brin_summarize_range cursor_to_xml cursor_to_xmlschema database_to_xml
        database_to_xml_and_xmlschema database_to_xmlschema fmgr_c_validator fmgr_internal_validator
        fmgr_sql_validator gin_clean_pending_list query_to_xml query_to_xml_and_xmlschema
        query_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema table_to_xml
        table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite ts_stat
        ",
    ),
    (
        "runs the input function, and so the checks, of a type that it is given by name or number",
        "
        pg_input_error_info pg_input_is_valid pg_restore_attribute_stats pg_restore_relation_stats
        ",
    ),
    (
        "takes names of columns as values: it copies what stands in them",
        "
        tsvector_update_trigger tsvector_update_trigger_column
        ",
    ),
    (
        "shows rows, large objects, statistics of columns, WAL or files",
        "
        lo_export lo_get lo_import loread pg_current_logfile pg_extension_config_dump pg_hba_file_rules
        pg_ident_file_mappings pg_logical_slot_get_binary_changes pg_logical_slot_get_changes
        pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes pg_ls_archive_statusdir
        pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir
        pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir pg_mcv_list_items pg_read_binary_file pg_read_file
        pg_read_file_old pg_show_all_file_settings pg_stat_file pg_wal_summary_contents
        ",
    ),
    (
        "shows texts of statements, of this session's pool or of others, or a connection string",
        "
        pg_cursor pg_get_backend_memory_contexts pg_log_backend_memory_contexts pg_prepared_statement
        pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_wal_receiver
        ",
    ),
    (
        "administers the server: its configuration, files, libraries, slots, statistics or WAL",
        "
        pg_backup_start pg_backup_stop pg_clear_attribute_stats pg_clear_relation_stats
        pg_copy_logical_replication_slot pg_copy_physical_replication_slot
        pg_create_logical_replication_slot pg_create_physical_replication_slot pg_create_restore_point
        pg_drop_replication_slot pg_get_aios pg_get_shmem_allocations_numa pg_import_system_collations
        pg_jit_available pg_log_standby_snapshot pg_numa_available pg_promote pg_reload_conf
        pg_replication_origin_advance pg_replication_origin_create pg_replication_origin_drop
        pg_replication_origin_session_reset pg_replication_origin_session_setup
        pg_replication_origin_xact_reset pg_replication_origin_xact_setup pg_replication_slot_advance
        pg_rotate_logfile pg_rotate_logfile_old pg_switch_wal pg_sync_replication_slots
        pg_wal_replay_pause pg_wal_replay_resume
        ",
    ),
    (
        "is for upgrades, event triggers or the build of the server alone",
        "
        binary_upgrade_add_sub_rel_state binary_upgrade_create_empty_extension
        binary_upgrade_logical_slot_has_caught_up binary_upgrade_replorigin_advance
        binary_upgrade_set_missing_value binary_upgrade_set_next_array_pg_type_oid
        binary_upgrade_set_next_heap_pg_class_oid binary_upgrade_set_next_heap_relfilenode
        binary_upgrade_set_next_index_pg_class_oid binary_upgrade_set_next_index_relfilenode
        binary_upgrade_set_next_multirange_array_pg_type_oid
        binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid
        binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid
        binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
        binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs
        pg_event_trigger_ddl_commands pg_event_trigger_dropped_objects
        pg_event_trigger_table_rewrite_oid pg_event_trigger_table_rewrite_reason
        pg_isolation_test_session_is_blocked pg_nextoid pg_stop_making_pinned_objects
        ",
    ),
];

/// A contrib extension that was read. Its immutable functions in C are harmless, but for `barred`.
pub struct Extension {
    pub name: &'static str,
    /// Stable and volatile ones, and those in SQL whose bodies say which objects they use: by OID, or
    /// with `pg_catalog` before each name but those of operators on types of their own.
    pub pure: &'static str,
    pub effect: &'static str,
    pub barred: &'static str,
}

const fn immutable(name: &'static str) -> Extension {
    Extension { name, pure: "", effect: "", barred: "" }
}

/// Sorted by name. What is not here is not harmless: dblink, postgres_fdw and file_fdw open
/// connections and files; pageinspect, pg_walinspect, pg_visibility, pg_freespacemap, pgstattuple,
/// pgrowlocks, amcheck and pg_surgery look into tables, and pg_buffercache at what others read;
/// pg_stat_statements shows texts; adminpack, pg_prewarm and basebackup_to_shell act on files;
/// autoinc, insert_username, moddatetime, refint and tcn are triggers that change or send rows.
pub const EXTENSIONS: &[Extension] = &[
    immutable("bloom"),
    immutable("btree_gin"),
    immutable("btree_gist"),
    Extension {
        name: "citext",
        pure: "citextrecv citextsend regexp_match regexp_matches regexp_replace regexp_split_to_array \
               regexp_split_to_table replace split_part strpos translate",
        effect: "",
        barred: "",
    },
    immutable("cube"),
    immutable("dict_int"),
    immutable("dict_xsyn"),
    // Before version 1.2 its bodies name functions and types without a schema: see `judge`.
    Extension {
        name: "earthdistance",
        pure: "earth earth_box earth_distance gc_to_sec latitude ll_to_earth longitude sec_to_gc",
        effect: "",
        barred: "",
    },
    immutable("fuzzystrmatch"),
    immutable("hstore"),
    // Its steps are those of array_agg(), by other names.
    Extension { name: "intagg", pure: "int_agg_final_array int_agg_state", effect: "", barred: "" },
    immutable("intarray"),
    // isn_weak() sets a mode of the session.
    Extension { name: "isn", pure: "", effect: "isn_weak", barred: "" },
    // lo_manage() is a trigger.
    Extension { name: "lo", pure: "lo_oid", effect: "", barred: "lo_manage" },
    immutable("ltree"),
    Extension {
        name: "pg_trgm",
        pure: "show_limit similarity_op strict_word_similarity_commutator_op strict_word_similarity_op \
               word_similarity_commutator_op word_similarity_op",
        effect: "set_limit",
        barred: "",
    },
    Extension {
        name: "pgcrypto",
        pure: "fips_mode gen_random_bytes gen_random_uuid gen_salt pgp_pub_encrypt pgp_pub_encrypt_bytea \
               pgp_sym_encrypt pgp_sym_encrypt_bytea",
        effect: "",
        barred: "",
    },
    immutable("seg"),
    Extension {
        name: "sslinfo",
        pure: "ssl_cipher ssl_client_cert_present ssl_client_dn ssl_client_dn_field ssl_client_serial \
               ssl_extension_info ssl_is_used ssl_issuer_dn ssl_issuer_field ssl_version",
        effect: "",
        barred: "",
    },
    Extension {
        name: "tablefunc",
        pure: "normal_rand",
        effect: "",
        barred: "connectby crosstab crosstab2 crosstab3 crosstab4",
    },
    // Its dictionary is a file that the installation brought; another is a superuser's, or one of the
    // server's templates over a file in its folder of dictionaries.
    Extension { name: "unaccent", pure: "unaccent", effect: "", barred: "" },
    Extension {
        name: "uuid-ossp",
        pure: "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4",
        effect: "",
        barred: "",
    },
    // xpath_table() runs a query, xslt_process() a program.
    Extension {
        name: "xml2",
        pure: "xml_valid xpath_list xpath_nodeset",
        effect: "",
        barred: "xpath_table xslt_process",
    },
];
