using System.Collections.Immutable;
using ModelPack.Compiler;

namespace ModelPack.Architectures.Decoder;

/// <summary>
/// Builds the graph of a dense decoder:
/// <code>
/// x = embedding[input_ids]                                   Gather on Cast(w)
/// per layer:  x += norm?(attention(norm(x)))
///             x += norm?(down(activation(gate(norm(x))) * up(norm(x))))
/// logits = head(norm(x))
/// linear(x)   MatMul(x, Transpose(Cast(w)))                  w [out, in] as it lies in the checkpoint; + Cast(bias)
/// norm(x)     x / sqrt(mean(x^2) + epsilon) * gain
/// </code>
/// All arithmetic is f32. Weights of 16 bits are cast where they are read; passes and ONNX Runtime fold that.
/// </summary>
internal sealed partial class DecoderGraph
{
    private const string Batch = "batch";
    private const string Sequence = "seq";
    private const string Past = "past";
    private const long OnnxFloat = 1;
    private const long OnnxInt8 = 3;
    private const long OnnxHalf = 10;

    private readonly DecoderSpec _spec;
    private readonly CheckpointWeights _weights;
    private readonly GraphWriter _graph = new();
    private readonly GraphForm _form;

    private DecoderGraph(DecoderSpec spec, CheckpointWeights weights, GraphForm form)
    {
        _spec = spec;
        _weights = weights;
        _form = form;
    }

    /// <summary>Builds the graph; takes the tensors it reads out of <paramref name="weights"/>.</summary>
    /// <exception cref="ModelPackException">MP1506, MP1508 to MP1510.</exception>
    public static Graph Build(DecoderSpec spec, CheckpointWeights weights, GraphForm form) => new DecoderGraph(spec, weights, form).Build();

    private Graph Build()
    {
        string ids = _graph.Input("input_ids", DType.I64, Batch, Sequence);
        DeclarePast();
        string table = Vector(WeightRole.Embedding, 0, new Shape(_spec.Vocabulary, _spec.Hidden), "vocab_size, hidden_size", vocabulary: true);
        Positions positions = MakePositions(ids);
        string x = _graph.Op("embed_tokens", "Gather", [table, ids]);
        x = _spec.EmbeddingScale is float scale ? _graph.Op("embed_tokens", "Mul", [x, _graph.Scalar(scale)]) : x;
        for (int layer = 0; layer < _spec.Attention.Length; layer++)
        {
            x = Layer(x, layer, positions);
        }

        Head(Norm(x, WeightRole.FinalNorm, 0, _spec.Hidden, "norm"), table);
        return _graph.Build("decoder");
    }

    private string Layer(string x, int layer, Positions positions)
    {
        string scope = $"layers.{layer}";
        string y = Norm(x, WeightRole.AttentionNorm, layer, _spec.Hidden, $"{scope}/attention_norm");
        y = Attention(y, layer, positions, $"{scope}/attention");
        y = Norm(y, WeightRole.AttentionOutputNorm, layer, _spec.Hidden, $"{scope}/attention_output_norm");
        x = _graph.Op($"{scope}/attention_residual", "Add", [x, y]);
        y = Norm(x, WeightRole.MlpNorm, layer, _spec.Hidden, $"{scope}/mlp_norm");
        y = _spec.Experts is ExpertSpec experts && experts.Layers[layer] ? Experts(y, layer, experts, $"{scope}/experts") : Mlp(y, layer, $"{scope}/mlp");
        y = Norm(y, WeightRole.MlpOutputNorm, layer, _spec.Hidden, $"{scope}/mlp_output_norm");
        return _graph.Op($"{scope}/mlp_residual", "Add", [x, y]);
    }

    /// <summary>Gate and up apart or as one projection, gate first.</summary>
    private string Mlp(string x, int layer, string scope)
    {
        string gate, up;
        if (_spec.Names.Has(WeightRole.GateUp))
        {
            string both = Linear(x, WeightRole.GateUp, layer, 2 * _spec.Intermediate, _spec.Hidden, _spec.MlpBias, $"{scope}/gate_up");
            ImmutableArray<string> parts = _graph.Split(scope, both, _spec.Intermediate, _spec.Intermediate);
            (gate, up) = (parts[0], parts[1]);
        }
        else
        {
            gate = Linear(x, WeightRole.Gate, layer, _spec.Intermediate, _spec.Hidden, _spec.MlpBias, $"{scope}/gate");
            up = Linear(x, WeightRole.Up, layer, _spec.Intermediate, _spec.Hidden, _spec.MlpBias, $"{scope}/up");
        }

        string product = _graph.Op(scope, "Mul", [_graph.Activate(_spec.Activation, gate, $"{scope}/activation"), up]);
        product = Norm(product, WeightRole.MlpSubNorm, layer, _spec.Intermediate, $"{scope}/sub_norm");
        return Linear(product, WeightRole.Down, layer, _spec.Hidden, _spec.Intermediate, _spec.MlpBias, $"{scope}/down");
    }

    /// <summary>A tied head reads the table row by row, as the embedding does, so that one stored form serves both.</summary>
    private void Head(string x, string table)
    {
        string? name = _spec.LogitSoftCap is null ? "logits" : null;
        string scores;
        if (_spec.TiedHead)
        {
            string rows = _graph.Op("lm_head", "Reshape", [x, _graph.Integers(-1, _spec.Hidden)]);
            string product = _graph.Op("lm_head", "Gemm", [rows, table], GraphWriter.Int("transB", 1));
            string shape = _graph.Op("lm_head", "Shape", [x], GraphWriter.Int("start", 0), GraphWriter.Int("end", 2));
            scores = _graph.Named(name, "lm_head", "Reshape", [product, _graph.Op("lm_head", "Concat", [shape, _graph.Integers(_spec.Vocabulary)], GraphWriter.Int("axis", 0))]);
        }
        else
        {
            string weight = Matrix(WeightRole.Head, 0, _spec.Vocabulary, _spec.Hidden, vocabulary: true);
            scores = _graph.Named(name, "lm_head", "MatMul", [x, weight]);
        }

        if (_spec.LogitSoftCap is float cap)
        {
            SoftCap(scores, cap, "lm_head/soft_cap", "logits");
        }

        _graph.Output("logits", DType.F32, Batch, Sequence, _spec.Vocabulary);
    }

    private string SoftCap(string x, float cap, string scope, string? output = null)
    {
        string tanh = _graph.Op(scope, "Tanh", [_graph.Op(scope, "Div", [x, _graph.Scalar(cap)])]);
        return _graph.Named(output, scope, "Mul", [tanh, _graph.Scalar(cap)]);
    }

    /// <summary>x / rms(x) * gain over the last axis; the value itself where the family has no such norm.</summary>
    private string Norm(string x, WeightRole role, int layer, long channels, string scope, float? epsilon = null)
    {
        if (!_spec.Names.Has(role))
        {
            return x;
        }

        string gain = Vector(role, layer, new Shape(channels), "one gain per channel");
        gain = _spec.GainsLessOne ? _graph.Op($"{scope}/gain", "Add", [gain, _graph.Scalar(1)]) : gain;
        string square = _graph.Op(scope, "Pow", [x, _graph.Scalar(2)]);
        string mean = _graph.Op(scope, "ReduceMean", [square], GraphWriter.Ints("axes", -1), GraphWriter.Int("keepdims", 1));
        string rms = _graph.Op(scope, "Sqrt", [_graph.Op(scope, "Add", [mean, _graph.Scalar(epsilon ?? _spec.NormEpsilon)])]);
        return _graph.Op(scope, "Mul", [_graph.Op(scope, "Div", [x, rms]), gain]);
    }

    private string Linear(string x, WeightRole role, int layer, long outputs, long inputs, bool bias, string scope)
    {
        string product = _graph.Op(scope, "MatMul", [x, Matrix(role, layer, outputs, inputs)]);
        if (!bias)
        {
            return product;
        }

        string name = _spec.Names.Of(role, layer);
        Tensor vector = _weights.Take($"{name[..name.LastIndexOf('.')]}.bias", new Shape(outputs), $"as {name} has rows");
        return _graph.Op(scope, "Add", [product, _graph.AsFloat(vector)]);
    }

    /// <summary>A linear weight [out, in] as the factor [in, out] of MatMul.</summary>
    private string Matrix(WeightRole role, int layer, long outputs, long inputs, bool vocabulary = false) => Matrix(_spec.Names.Of(role, layer), role, outputs, inputs, vocabulary);

    private string Matrix(string name, WeightRole role, long outputs, long inputs, bool vocabulary = false)
    {
        Tensor tensor = _weights.Take(name, new Shape(outputs, inputs), Reasons.Of(role), vocabulary);
        if (_spec.Ternary && role != WeightRole.Head && tensor.TryGetRawData(out _))
        {
            tensor = tensor with { DType = DType.F32, Encoding = TernaryEncoding(tensor.Encoding) };
        }

        return _graph.Factor(tensor);
    }

    private string Vector(WeightRole role, int layer, Shape shape, string why, bool vocabulary = false) =>
        _graph.AsFloat(_weights.Take(_spec.Names.Of(role, layer), shape, why, vocabulary));

    /// <summary>
    /// BitNet b1.58's rule: round to nearest of w / mean|w|, clamped to -1, 0, 1, times mean|w|, one mean per tensor. These values are the weights of the model, so what stores them (three values, the largest given) loses
    /// nothing.
    /// </summary>
    private static DenseEncoding TernaryEncoding(WeightEncoding latent) =>
        DenseEncoding.Pending(new UnitSpec("ternary", ("rule", "absmax"), ("scope", "tensor")), DenseEncoding.Pending(new UnitSpec("ternary", ("rule", "absmean"), ("scope", "tensor")), latent));
}
