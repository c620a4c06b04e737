namespace ModelPack;

public static partial class ErrorCodes
{
    // MP1500-1519: from a checkpoint to a graph.
    public static readonly ErrorCode ConfigSyntax = new(1500, "a config.json that is not a JSON object");
    public static readonly ErrorCode ConfigWithoutArchitecture = new(1501, "a checkpoint that does not say what its architecture is");
    public static readonly ErrorCode UnknownArchitecture = new(1502, "an architecture for which no graph can be built");
    public static readonly ErrorCode ConfigValue = new(1503, "a value of config.json that is missing, of the wrong type or out of range");
    public static readonly ErrorCode ConfigHeads = new(1504, "numbers of attention heads that do not divide each other or the hidden size");
    public static readonly ErrorCode UnsupportedFeature = new(1505, "a known architecture with a feature for which no graph can be built");
    public static readonly ErrorCode WeightMissing = new(1506, "a tensor that the architecture needs and the checkpoint does not have");
    public static readonly ErrorCode WeightUnused = new(1507, "a tensor of the checkpoint that the architecture has no place for");
    public static readonly ErrorCode WeightShape = new(1508, "a tensor whose shape contradicts config.json");
    public static readonly ErrorCode VocabularyMismatch = new(1509, "an embedding or output layer that is not as long as the vocabulary");
    public static readonly ErrorCode WeightDType = new(1510, "a weight that is no floating-point tensor");
    public static readonly ErrorCode GraphNotBuilt = new(1511, "a form of graph that was asked for where no graph is built");
    public static readonly ErrorCode QuantizedWeight = new(1512, "codes, scales or zero points of a quantised checkpoint that are missing, have no weight, or do not fit each other");
    public static readonly ErrorCode QuantizationConfig = new(1513, "a quantization_config that is not understood, or contradicts the tensors");
    public static readonly ErrorCode SentenceModules = new(1514, "files of sentence-transformers that are missing, or ask for modules or pooling that are not supported");
    public static readonly ErrorCode NotAnEncoder = new(1515, "a model that gives no vectors for the tokens of a text");

    // MP1520-1529: from a GGUF file to a checkpoint.
    public static readonly ErrorCode GgufModelKey = new(1520, "metadata of a GGUF file that describe its model and are missing or wrong");
    public static readonly ErrorCode GgufVocabulary = new(1521, "lists of a GGUF file's tokenizer that do not fit each other or the embedding");
}
