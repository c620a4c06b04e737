using System.Collections.Immutable;

namespace ModelPack.Runtime.Text;

/// <summary>Reads tokenizer.json with a model of type Unigram. The section <c>decoder</c> is not read: nothing here turns ids of such models into text.</summary>
internal static class UnigramReader
{
    /// <exception cref="ModelPackException">MP5031, MP5032, MP5051.</exception>
    public static UnigramParts Read(Json root)
    {
        Json model = root.Get("model");
        if (model.Find("type")?.Text() is var type and not "Unigram")
        {
            throw Json.NotSupported($"model of type '{type ?? "BPE"}'; only Unigram is");
        }

        IReadOnlyList<Json> pairs = model.Get("vocab").Items();
        if (pairs.Count == 0)
        {
            throw model.Bad("model.vocab is empty");
        }

        var pieces = new List<(string Piece, double Score)>(pairs.Count);
        foreach (Json pair in pairs)
        {
            pieces.Add(pair.Items() is [Json piece, Json score] && double.IsFinite(score.Number())
                ? (piece.Text(), score.Number())
                : throw model.Bad($"model.vocab[{pieces.Count}] is not a pair of text and score"));
        }

        bool bytes = model.Flag("byte_fallback", false);
        var unigram = new UnigramModel(pieces, model.Find("unk_id")?.Integer(pieces.Count), bytes);
        Json? words = root.Find("pre_tokenizer");
        (ImmutableArray<int> prefix, ImmutableArray<int> suffix) = TemplateReader.Read(root.Find("post_processor"));
        return new UnigramParts(
            unigram,
            TokenizerJson.ReadAdded(root, unigram.Ids),
            NormalizerReader.Read(root.Find("normalizer")),
            PreTokenizerReader.ReadCharacters(words, first: false),
            PreTokenizerReader.ReadCharacters(words, first: true),
            prefix,
            suffix);
    }
}
