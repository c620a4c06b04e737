namespace ModelPack;

public static partial class ErrorCodes
{
    // MP5020-5029: evaluation.
    public static readonly ErrorCode NotALanguageModel = new(5020, "the model does not map token ids to logits");
    public static readonly ErrorCode TooFewTokens = new(5021, "the token file is shorter than one window, or has ids outside the vocabulary");
    public static readonly ErrorCode BadSample = new(5022, "evaluation data does not fit the model's inputs");
    public static readonly ErrorCode OutputsDiffer = new(5023, "two models do not have the same outputs");

    // MP5060-5069: saved predictions of a reference.
    public static readonly ErrorCode BadSavedLogits = new(5060, "a file that should hold the saved logits of a reference and does not");
    public static readonly ErrorCode LogitsOfOtherTokens = new(5061, "saved logits that were made of other tokens or windows than the evaluation has");

    // MP5070-5079: vectors and labels of texts.
    public static readonly ErrorCode SentenceWeights = new(5070, "a dense layer of sentence-transformers whose weights are damaged or do not fit");
    public static readonly ErrorCode NotAClassifier = new(5071, "a model that gives no scores for texts, or labels that do not fit them");
}
