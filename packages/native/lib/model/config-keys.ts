/**
 * What is known of config.json's keys beside those that the forward pass honours: which change no
 * number, and which values of the others change none. docs/model-config.md shows the same as tables.
 *
 * The keys are those of Hugging Face's configurations: of the architectures here, of all models, and
 * of other families, since files are written by hand and by tools that mix them.
 */
import { ARCHITECTURES } from "./architecture.ts";
import type { ModelConfig } from "./model-config.ts";

/** Keys whose every value but some is refused. */
export interface Refused {
  readonly keys: readonly string[];
  /** The values that pass, in an error's words. */
  readonly expected: string;
  passes(value: unknown, model: ModelConfig): boolean;
}

/** Never read by a forward pass: training, generation, tokens, tools and where a file came from. */
export const HARMLESS: readonly string[] = words(`
  transformers_version torch_dtype dtype use_bfloat16 name_or_path _name_or_path _commit_hash
  attn_implementation _attn_implementation _attn_implementation_autoset
  _attn_implementation_internal experts_implementation _experts_implementation_internal _flash_attn_2_enabled
  use_flash_attn use_flash_attention use_flash_attention_2 torchscript tf_legacy_loss xla_device
  gradient_checkpointing use_cache pretraining_tp chunk_size_feed_forward base_model_tp_plan
  base_model_pp_plan is_decoder tie_encoder_decoder cross_attention_hidden_size
  initializer_range initializer_factor init_std attention_dropout hidden_dropout dropout attn_pdrop
  resid_pdrop embd_pdrop embedding_dropout residual_dropout ffn_dropout attn_dropout emb_dropout
  classifier_dropout hidden_dropout_prob attention_probs_dropout_prob layerdrop z_loss_weight
  neftune_noise_alpha router_aux_loss_coef output_router_logits router_jitter_noise norm_topk_prob
  decoder_sparse_step mlp_only_layers scoring_func topk_method topk_group n_group
  routed_scaling_factor num_nextn_predict_layers mtp_num_hidden_layers
  finetuning_task task_specific_params problem_type id2label label2id num_labels return_dict
  use_return_dict output_attentions output_hidden_states output_past output_scores
  bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id mask_token_id unk_token_id
  decoder_start_token_id image_token_id tokenizer_class prefix
  max_sequence_length seq_length model_max_length max_length max_new_tokens min_length
  min_new_tokens do_sample early_stopping max_time num_beams num_beam_groups num_return_sequences
  penalty_alpha temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff
  diversity_penalty repetition_penalty encoder_repetition_penalty length_penalty
  no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids force_words_ids
  renormalize_logits constraints forced_bos_token_id forced_eos_token_id remove_invalid_values
  exponential_decay_length_penalty suppress_tokens begin_suppress_tokens forced_decoder_ids
  sequence_bias guidance_scale low_memory return_dict_in_generate output_logits
  prompt_lookup_num_tokens cache_implementation cache_config generation_config
  sliding_window_pattern _sliding_window_pattern mamba_ssm_dtype fp32_residual
  residual_in_fp32 reorder_and_upcast_attn attention_softmax_in_fp32
  embed_dropout resid_dropout mlp_dropout dropout_rate emb_pdrop embedding_initializer_range
  initializer_cutoff_factor init_device z_loss_coefficient aux_loss_coef moe_loss_weight
  moe_jitter_eps input_jitter_noise router_scaling_factor moe_routed_scaling_factor route_scale
  num_mtp_layers model_parallel_size num_logits_to_keep use_mem_eff_path slow_but_exact
  deterministic_flash_attn n_positions n_ctx max_seq_len
  is_llama_config unsloth_fixed unsloth_version unsloth_tracing onnx transformers.js_config
`);

/** Harmless inside `rope_scaling` and `rope_parameters`. */
export const ROPE_HARMLESS: readonly string[] = ["finetuned"];

const isAbsent = (value: unknown) =>
  value === null ||
  value === false ||
  (typeof value === "object" && Object.keys(value).length === 0);

const absent = (keys: string): Refused => ({
  keys: words(keys),
  expected: "none",
  passes: isAbsent,
});
/** What `value` says for a model, null passing too. */
const equal = (
  keys: string,
  expected: string,
  value: (model: ModelConfig) => unknown,
): Refused => ({
  keys: words(keys),
  expected,
  passes: (given, model) => given === null || given === value(model),
});
const oneOf = (keys: string, values: readonly string[]): Refused => ({
  keys: words(keys),
  expected: values.map((value) => JSON.stringify(value)).join(" or "),
  passes: (value) => value === null || values.includes(value as string),
});

export const REFUSED: readonly Refused[] = [
  // Other attention, other norms, biases, gates, branches.
  equal(
    `is_encoder_decoder add_cross_attention use_bidirectional_attention is_bidirectional mlp_bias
    bias use_bias attention_out_bias attention_o_bias o_proj_bias lm_head_bias add_bias_linear
    alibi use_alibi use_mrope mrope_interleaved rope_interleave rope_interleaved rotary_interleaved
    use_dynamic_ntk use_logn_attn attn_temperature_tuning parallel_attn parallel_residual
    use_parallel_residual multi_query new_decoder_architecture post_norm use_post_norm sandwich_norm
    apply_residual_connection_post_layernorm attn_output_gate use_attention_gate scale_logits
    scale_attn_by_inverse_layer_idx scale_embeddings use_mup mup_scale_qk_dot_by_d use_cla use_mla
    attention_k_eq_v use_double_wide_mlp enable_moe_block load_in_4bit load_in_8bit
    rope_traditional rotary_emb_interleaved use_scaled_rope use_mem_rope use_long_context mup_enabled
    prefix_lm norm_bias enable_bias projectors_bias emb_layer_norm_before is_moe
    _remove_final_layer_norm`,
    "false",
    () => false,
  ),
  equal(
    `use_rope use_rotary use_rotary_embeddings rope_is_neox_style is_neox_style scale_attn_weights
    no_bias do_layer_norm_before layer_norm_elementwise_affine`,
    "true",
    () => true,
  ),
  // Multipliers.
  equal(
    `rotary_pct rotary_percent rope_ratio embedding_multiplier residual_multiplier logits_scaling
    logit_scale logits_scale logit_multiplier scale_emb embedding_scale lm_head_multiplier
    key_multiplier attention_in_multiplier attention_out_multiplier embedding_multiplier_scale
    output_multiplier_scale attn_output_multiplier mup_embeddings_scale mup_output_alpha
    mup_width_scale mup_embeddings_multiplier total_ut_steps num_loops full_attention_interval
    cla_share_factor rope_scaling_factor rotary_scaling_factor rope_pct rotary_emb_fraction
    attention_value_scale output_multiplier full_attn_alpha_factor full_attn_beta_factor
    linear_attn_alpha_factor linear_attn_beta_factor mlp_alpha_factor mlp_beta_factor
    ssm_in_multiplier ssm_out_multiplier embedding_fraction H_cycles L_cycles`,
    "1",
    () => 1,
  ),
  {
    keys: ["attention_multiplier", "attention_scale", "softmax_scale"],
    expected: "1 / sqrt(head_dim)",
    passes: (value, { head_dim }) =>
      value === null ||
      (typeof value === "number" && Math.fround(value) === Math.fround(1 / Math.sqrt(head_dim))),
  },
  equal(
    `query_pre_attn_scalar rotary_dim qk_head_dim v_head_dim kv_channels attention_head_dim
    global_head_dim`,
    "head_dim",
    ({ head_dim }) => head_dim,
  ),
  equal(
    "dim_model_base embedding_size embedding_dim word_embed_proj_dim n_embd n_embed d_model",
    "hidden_size",
    (model) => {
      return model.hidden_size;
    },
  ),
  // Other families' names of what is honoured.
  equal("unpadded_vocab_size", "vocab_size", ({ vocab_size }) => vocab_size),
  equal("n_layer n_layers num_layers", "num_hidden_layers", (model) => model.num_hidden_layers),
  equal("n_head n_heads num_heads", "num_attention_heads", (model) => model.num_attention_heads),
  equal(
    `num_kv_heads kv_n_heads n_kv_heads num_attention_groups multi_query_group_num
    num_global_key_value_heads`,
    "num_key_value_heads",
    (model) => model.num_key_value_heads,
  ),
  equal(
    "n_inner d_ff ffn_dim ffn_hidden_size intermediate_size_mlp",
    "intermediate_size",
    (model) => model.intermediate_size,
  ),
  equal("tie_embedding tie_embeddings", "tie_word_embeddings", (model) => {
    return model.tie_word_embeddings;
  }),
  equal("rotary_emb_base rotary_base rope_base", "rope_theta", ({ rope_theta }) => rope_theta),
  equal(
    "layer_norm_eps layer_norm_epsilon layernorm_epsilon norm_eps norm_epsilon",
    "rms_norm_eps",
    ({ rms_norm_eps }) => rms_norm_eps,
  ),
  // Experts, and layers that share or add what dense ones do not.
  equal(
    `num_experts num_local_experts n_routed_experts moe_num_experts n_shared_experts
    num_shared_experts num_shared_expert moe_num_shared_experts num_experts_per_tok
    num_experts_per_token moe_topk moe_intermediate_size shared_expert_intermediate_size
    first_k_dense_replace num_kv_shared_layers hidden_size_per_layer_input laurel_rank
    moe_k moe_top_k top_k_experts zero_expert_num num_dense_layers share_expert_dim
    shared_intermediate_size expert_ffn_hidden_size moe_router_logit_softcapping
    vocab_size_per_layer_input gated_norm_rank hc_mult hc_count adapter_rank num_mem_blocks`,
    "0",
    () => 0,
  ),
  absent(`attn_logit_softcapping final_logit_softcapping logits_soft_cap attn_logits_soft_cap
    attention_logit_cap output_logit_soft_cap router_logit_softcapping clip_qkv swiglu_limit
    scale_depth mlp_multipliers no_rope_layer_interval nope_layer_interval rope_local_base_freq
    local_rope_theta global_rope_theta swa_rope_theta attention_chunk_size
    interleaved_sliding_window window_size attention_types
    attention_layers block_types local_attention global_attn_every_n_layers attention_window
    full_attn_idxs attn_layer_indices layers_block_type hybrid_override_pattern hybrid_layer_ids
    block_configs linear_attn_config sparse_attention_config dual_chunk_attention_config kv_lora_rank
    q_lora_rank qk_rope_head_dim qk_nope_head_dim index_topk cross_attention_layers per_layer_config
    pruned_heads attn_config ffn_config activation_sparsity_pattern altup_num_inputs
    llama_4_scaling floor_scale attn_scale moe_layers interleave_moe_layer_step moe_layer_freq
    text_config encoder decoder compression_config quantization quant_config
    attention_window_size keep_window_size qk_scale_factor logits_mup_width_multiplier
    log_scaling_alpha attention_other_setting layer_rope_theta compress_rope_theta compress_rates
    compress_ratios partial_rotary_factors rotary_emb_scale_base num_attention_heads_per_layer
    num_sliding_attention_heads gating output_gate_type lambda_std_dev learnable_sink_init
    num_ln_in_parallel_attn alibi_bias_max learned_pos_emb embedding_rank swiglu_alpha swiglu_limits
    swiglu_limits_shared ssm_multipliers o_lora_rank hc_magnitude index_n_heads index_head_dim
    indexer_types indexer_n_heads indexer_head_dim indexer_budget linear_num_key_heads
    linear_num_value_heads linear_key_head_dim linear_value_head_dim local_layer_ids ple_layer_ids
    ngram_size lru_width attn_layer_period attn_layer_offset expert_layer_period expert_layer_offset
    moe_layers_enum cross_layer_interval post_norm_eps configuration_files`),
  {
    keys: ["no_rope_layers"],
    expected: "1 for every layer: each must rotate",
    passes: (value, { num_hidden_layers }) =>
      value === null ||
      (Array.isArray(value) &&
        value.length === num_hidden_layers &&
        value.every((rotates) => rotates === 1 || rotates === true)),
  },
  {
    keys: ["mlp_layer_types"],
    expected: "dense for every layer",
    passes: (value) =>
      value === null || (Array.isArray(value) && value.every((type) => type === "dense")),
  },
  oneOf("attn_type", ["multihead_attention"]),
  // transformers reads the file that it names, whatever else is there.
  oneOf("transformers_weights", ["model.safetensors"]),
  oneOf("position_embedding_type positional_embedding", ["rope"]),
  oneOf("hidden_activation activation_function mlp_hidden_act", ["silu", "swish"]),
  // A file of Falcon 3's, which are Llama's, says which product its MLP is.
  oneOf("activation", ["silu", "swish", "swiglu"]),
  oneOf("rope_type rope_scaling_type", ["default"]),
  oneOf("norm_type", ["rms_norm", "rmsnorm", "RMSNorm"]),
  // What the architecture's name decides already.
  equal(
    "use_qk_norm qk_norm qk_layernorm use_qk_layernorm qk_ln qk_layer_norms",
    "what the architecture has",
    (model) => {
      return model.qk_norm;
    },
  ),
  equal("qkv_bias use_qkv_bias add_qkv_bias", "what the architecture has", ({ qkv_bias }) => {
    return qkv_bias;
  }),
  {
    keys: ["model_type"],
    expected: "the architecture's",
    passes: (value, { architecture }) =>
      value === null || value === ARCHITECTURES[architecture].model_type,
  },
  {
    keys: ["auto_map"],
    expected: "no model code of its own",
    passes: (value) =>
      isAbsent(value) ||
      (typeof value === "object" && !Object.keys(value ?? {}).some((key) => key.includes("Model"))),
  },
];

/** The same inside `rope_scaling` and `rope_parameters`. */
export const ROPE_REFUSED: readonly Refused[] = [
  equal(
    `attention_factor attn_factor mscale mscale_all_dim extrapolation_factor rope_percent rope_pct
    rotary_pct scale scaling_factor ntk_factor ntk_alpha`,
    "1",
    () => 1,
  ),
  equal(
    `mrope_interleaved interleaved rope_interleave rope_interleaved rope_traditional traditional`,
    "false",
    () => false,
  ),
  equal("base theta rope_base", "rope_theta", ({ rope_theta }) => rope_theta),
  absent(`beta_fast beta_slow short_factor long_factor short_mscale long_mscale alpha mrope_section
    llama_4_scaling_beta truncate beta xdrope_section partial_rotary_factors`),
];

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
