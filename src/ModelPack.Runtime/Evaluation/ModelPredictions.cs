using Microsoft.ML.OnnxRuntime;

namespace ModelPack.Runtime.Evaluation;

/// <summary>A reference that is a model, run on the same tokens.</summary>
internal sealed class ModelPredictions : IReferencePredictions
{
    private readonly ModelSession _session;
    private readonly LanguageModelSignature _signature;
    private readonly int _window;

    /// <exception cref="ModelPackException">MP5020: it is no language model.</exception>
    public ModelPredictions(ModelSession session, int window) => (_session, _signature, _window) = (session, LanguageModelSignature.Of(session, window), window);

    public bool FreeBatch => _signature.FreeBatch;

    public IReferenceBatch Predict(ushort[] ids, long firstWindow, int windows) => new Batch(PerplexityMeter.Logits(_session, _signature, ids, windows, _window));

    private sealed class Batch : IReferenceBatch
    {
        private readonly ModelOutputs _outputs;
        private readonly OrtValue _logits;

        public Batch(ModelOutputs outputs)
        {
            (_outputs, _logits) = (outputs, outputs[0]);
            Vocabulary = (int)_logits.GetTensorTypeAndShape().Shape[2];
        }

        public int Vocabulary { get; }

        public Score Compare(int prediction, int position, ReadOnlySpan<float> logits, double mass, int next)
        {
            ReadOnlySpan<float> expected = _logits.GetTensorDataAsSpan<float>().Slice(position * Vocabulary, Vocabulary);
            double expectedMass = LogSumExp.Of(expected);
            return new Score(
                0,
                Divergence.Of(expected, expectedMass, logits, mass),
                AgreementMeter.IndexOfMax(logits) == AgreementMeter.IndexOfMax(expected) ? 1 : 0,
                expectedMass - expected[next]);
        }

        public void Dispose() => _outputs.Dispose();
    }
}
