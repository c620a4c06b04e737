using System.Collections.Immutable;
using ModelPack.Architectures.Decoder;

namespace ModelPack.Architectures.Encoder;

/// <summary>What comes behind the last layer.</summary>
internal sealed partial class EncoderGraph
{
    private void Finish(string x, string table)
    {
        switch (_spec.Head)
        {
            case EncoderHead.MaskedWords:
                MaskedWords(x, table);
                break;
            case EncoderHead.Sequence:
                Named(Before(x), _spec.Names.Sequence, _spec.Labels);
                _graph.Output("logits", DType.F32, Batch, _spec.Labels);
                break;
            case EncoderHead.Tokens:
                Named(x, EncoderNames.Tokens, _spec.Labels);
                _graph.Output("logits", DType.F32, Batch, Sequence, _spec.Labels);
                break;
            case EncoderHead.Spans:
                Spans(x);
                break;
            default:
                _graph.Named("last_hidden_state", "last_hidden_state", "Identity", [x]);
                _graph.Output("last_hidden_state", DType.F32, Batch, Sequence, _spec.Hidden);
                Pooler(x);
                break;
        }
    }

    /// <summary>What the scores of a text are made of, [batch, hidden].</summary>
    private string Before(string x)
    {
        string first = First(x);
        if (_spec.Names.SequenceDense is not string dense)
        {
            return Pooled(first, null);
        }

        string y = Linear(first, dense, _spec.Hidden, _spec.Hidden, "head/dense");
        return _graph.Op("head", _spec.SequenceActivation == SequenceActivation.Tanh ? "Tanh" : "Relu", [y]);
    }

    /// <summary>Models are saved with and without a pooler, under the same class.</summary>
    private void Pooler(string x)
    {
        string module = _prefix + EncoderNames.Pooler;
        if (_spec.Pooler && (_weights.Has($"{module}.weight") || _weights.Has($"{module}.bias")))
        {
            Pooled(First(x), "pooler_output");
            _graph.Output("pooler_output", DType.F32, Batch, _spec.Hidden);
        }
    }

    private string First(string x) => _graph.Op("pooler", "Gather", [x, _graph.Index(0)], GraphWriter.Int("axis", 1));

    private string Pooled(string first, string? output) =>
        _graph.Named(output, "pooler", "Tanh", [Linear(first, _prefix + EncoderNames.Pooler, _spec.Hidden, _spec.Hidden, "pooler/dense")]);

    /// <summary>A tied head reads the table row by row, as the embedding does, so that one stored form serves both.</summary>
    private void MaskedWords(string x, string table)
    {
        const string scope = "head";
        EncoderNames names = _spec.Names;
        string y = Linear(x, names.MaskedDense, _spec.Hidden, _spec.Hidden, $"{scope}/dense");
        y = Norm(_graph.Activate(_spec.MaskedActivation ?? _spec.Activation, y, $"{scope}/activation"), names.MaskedNorm, $"{scope}/norm");
        string product;
        if (_spec.TiedHead)
        {
            string rows = _graph.Op(scope, "Gemm", [_graph.Op(scope, "Reshape", [y, _graph.Integers(-1, _spec.Hidden)]), table], GraphWriter.Int("transB", 1));
            string shape = _graph.Op(scope, "Shape", [y], GraphWriter.Int("start", 0), GraphWriter.Int("end", 2));
            product = _graph.Op(scope, "Reshape", [rows, _graph.Op(scope, "Concat", [shape, _graph.Integers(_spec.Vocabulary)], GraphWriter.Int("axis", 0))]);
        }
        else
        {
            product = _graph.Op(scope, "MatMul", [y, _graph.Factor(_weights.Take($"{names.MaskedTable}.weight", new Shape(_spec.Vocabulary, _spec.Hidden), "vocab_size, hidden size", vocabulary: true))]);
        }

        string bias = _weights.Has(names.MaskedBias) || !_weights.Has($"{names.MaskedTable}.bias") ? names.MaskedBias : $"{names.MaskedTable}.bias";
        _graph.Named("logits", scope, "Add", [product, _graph.AsFloat(_weights.Take(bias, new Shape(_spec.Vocabulary), "vocab_size"))]);
        _graph.Output("logits", DType.F32, Batch, Sequence, _spec.Vocabulary);
    }

    /// <summary>Scores of the beginnings and the ends of answers, [batch, seq] each.</summary>
    private void Spans(string x)
    {
        ImmutableArray<string> parts = _graph.Split("head", Linear(x, EncoderNames.Spans, 2, _spec.Hidden, "head/qa"), 1, 1);
        string[] names = ["start_logits", "end_logits"];
        for (int i = 0; i < names.Length; i++)
        {
            _graph.Named(names[i], "head", "Squeeze", [parts[i], _graph.Integers(-1)]);
            _graph.Output(names[i], DType.F32, Batch, Sequence);
        }
    }

    /// <summary>A linear layer whose result is the logits.</summary>
    private void Named(string x, string module, long labels)
    {
        string product = _graph.Op("head", "MatMul", [x, _graph.Factor(_weights.Take($"{module}.weight", new Shape(labels, _spec.Hidden), "labels (id2label), hidden size"))]);
        _graph.Named("logits", "head", "Add", [product, _graph.AsFloat(_weights.Take($"{module}.bias", new Shape(labels), "labels (id2label)"))]);
    }
}
